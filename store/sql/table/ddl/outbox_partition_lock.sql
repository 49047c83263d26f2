LOCK TABLE "dms"."{partition}" IN SHARE MODE
