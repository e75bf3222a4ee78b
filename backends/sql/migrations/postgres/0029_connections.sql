CREATE TABLE {{connections}} (
    "id" uuid NOT NULL,
    "user_id" uuid NOT NULL,
    "provider_name" text COLLATE "C" NOT NULL,
    "provider_id" text COLLATE "C" NOT NULL,
    "email" text COLLATE "C",
    "created_at" timestamptz NOT NULL,
    "updated_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "connections_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT
);

CREATE UNIQUE INDEX {{bare:connections_provider}} ON {{connections}} ("provider_name", "provider_id");

CREATE INDEX {{bare:connections_user}} ON {{connections}} ("user_id", "id");
