CREATE TABLE {{permissions}} (
    "id" uuid NOT NULL,
    "action" text COLLATE "C" NOT NULL,
    "entity" text COLLATE "C" NOT NULL,
    "access" text COLLATE "C" NOT NULL,
    "description" text COLLATE "C",
    "created_at" timestamptz NOT NULL,
    "updated_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "permissions_access" CHECK ("access" IN ('own', 'any'))
);

CREATE UNIQUE INDEX {{bare:permissions_what}} ON {{permissions}} ("action", "entity", "access");
