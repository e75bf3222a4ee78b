CREATE TABLE {{user_access}} (
    "user_id" uuid NOT NULL,
    "state" text COLLATE "C" NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("user_id"),
    CONSTRAINT "user_access_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "user_access_state" CHECK ("state" IN ('active', 'suspended'))
);
