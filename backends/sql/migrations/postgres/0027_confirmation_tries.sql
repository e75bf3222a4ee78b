CREATE TABLE {{confirmation_tries}} (
    "user_id" uuid NOT NULL,
    "attempts" bigint NOT NULL DEFAULT 0,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("user_id"),
    CONSTRAINT "confirmation_tries_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "confirmation_tries_not_negative" CHECK ("attempts" >= 0)
);
