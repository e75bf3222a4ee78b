CREATE TABLE {{training_images}} (
    "id" uuid NOT NULL,
    "training_id" uuid NOT NULL,
    "name" text COLLATE "C" NOT NULL,
    "url" text COLLATE "C" NOT NULL,
    "media_type" text COLLATE "C" NOT NULL,
    "size_bytes" bigint NOT NULL,
    "text" text COLLATE "C" NOT NULL DEFAULT '',
    "state" text COLLATE "C" NOT NULL,
    "upload_until" timestamptz,
    "created_at" timestamptz NOT NULL,
    "updated_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "training_images_training" FOREIGN KEY ("training_id") REFERENCES {{trainings}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "training_images_media_type" CHECK ("media_type" IN ('image/png', 'image/jpeg', 'image/webp')),
    CONSTRAINT "training_images_size_positive" CHECK ("size_bytes" >= 1),
    CONSTRAINT "training_images_state" CHECK ("state" IN ('intended', 'uploaded', 'resized'))
);

CREATE UNIQUE INDEX {{bare:training_images_training_name}} ON {{training_images}} ("training_id", "name");

CREATE INDEX {{bare:training_images_training}} ON {{training_images}} ("training_id", "id");

CREATE INDEX {{bare:training_images_upload_until}} ON {{training_images}} ("upload_until" NULLS FIRST, "id");
