CREATE TABLE {{login_retries}} (
    "user_id" uuid NOT NULL,
    "retry_count" bigint NOT NULL DEFAULT 0,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("user_id"),
    CONSTRAINT "login_retries_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "login_retries_not_negative" CHECK ("retry_count" >= 0)
);
