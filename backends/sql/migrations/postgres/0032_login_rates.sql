CREATE TABLE {{login_rates}} (
    "user_id" uuid NOT NULL,
    "window" bigint NOT NULL DEFAULT 0,
    "tries" bigint NOT NULL DEFAULT 0,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("user_id"),
    CONSTRAINT "login_rates_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "login_rates_not_negative" CHECK ("tries" >= 0)
);
