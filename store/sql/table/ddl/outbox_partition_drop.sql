DROP TABLE "dms"."{partition}"
