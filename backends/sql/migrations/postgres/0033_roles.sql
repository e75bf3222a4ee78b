CREATE TABLE {{roles}} (
    "id" uuid NOT NULL,
    "name" text COLLATE "C" NOT NULL,
    "description" text COLLATE "C",
    "created_at" timestamptz NOT NULL,
    "updated_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id")
);

CREATE UNIQUE INDEX {{bare:roles_name}} ON {{roles}} ("name");
