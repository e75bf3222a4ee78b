CREATE TABLE {{training_images}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "training_id" BLOB NOT NULL CHECK (length("training_id") = 16),
    "name" TEXT NOT NULL,
    "url" TEXT NOT NULL,
    "media_type" TEXT NOT NULL,
    "size_bytes" INTEGER NOT NULL,
    "text" TEXT NOT NULL DEFAULT '',
    "state" TEXT NOT NULL,
    "upload_until" INTEGER,
    "created_at" INTEGER NOT NULL,
    "updated_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "training_images_training" FOREIGN KEY ("training_id") REFERENCES {{trainings}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "training_images_media_type" CHECK ("media_type" IN ('image/png', 'image/jpeg', 'image/webp')),
    CONSTRAINT "training_images_size_positive" CHECK ("size_bytes" >= 1),
    CONSTRAINT "training_images_state" CHECK ("state" IN ('intended', 'uploaded', 'resized'))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:training_images_training_name}} ON {{training_images}} ("training_id", "name");

CREATE INDEX {{bare:training_images_training}} ON {{training_images}} ("training_id", "id");

CREATE INDEX {{bare:training_images_upload_until}} ON {{training_images}} ("upload_until", "id");
