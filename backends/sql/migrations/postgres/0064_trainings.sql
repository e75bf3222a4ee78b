CREATE TABLE {{trainings}} (
    "id" uuid NOT NULL,
    "owner_id" uuid NOT NULL,
    "name" text COLLATE "C" NOT NULL,
    "config" jsonb NOT NULL,
    "trigger_word" text COLLATE "C" NOT NULL,
    "base_model" jsonb,
    "image_limit" bigint NOT NULL,
    "image_bytes_limit" bigint NOT NULL,
    "images" bigint NOT NULL DEFAULT 0,
    "image_bytes" bigint NOT NULL DEFAULT 0,
    "created_at" timestamptz NOT NULL,
    "updated_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "trainings_owner" FOREIGN KEY ("owner_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "trainings_image_limit_not_negative" CHECK ("image_limit" >= 0),
    CONSTRAINT "trainings_image_bytes_limit_not_negative" CHECK ("image_bytes_limit" >= 0),
    CONSTRAINT "trainings_images_not_negative" CHECK ("images" >= 0),
    CONSTRAINT "trainings_image_bytes_not_negative" CHECK ("image_bytes" >= 0)
);

CREATE INDEX {{bare:trainings_owner}} ON {{trainings}} ("owner_id", "id");
