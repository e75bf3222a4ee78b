CREATE TABLE {{login_ways}} (
    "user_id" uuid NOT NULL,
    "ways" bigint NOT NULL DEFAULT 0,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("user_id"),
    CONSTRAINT "login_ways_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "login_ways_not_negative" CHECK ("ways" >= 0)
);
