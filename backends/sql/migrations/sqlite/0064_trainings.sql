CREATE TABLE {{trainings}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "owner_id" BLOB NOT NULL CHECK (length("owner_id") = 16),
    "name" TEXT NOT NULL,
    "config" TEXT NOT NULL CHECK (json_valid("config")),
    "trigger_word" TEXT NOT NULL,
    "base_model" TEXT CHECK (json_valid("base_model")),
    "image_limit" INTEGER NOT NULL,
    "image_bytes_limit" INTEGER NOT NULL,
    "images" INTEGER NOT NULL DEFAULT 0,
    "image_bytes" INTEGER NOT NULL DEFAULT 0,
    "created_at" INTEGER NOT NULL,
    "updated_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "trainings_owner" FOREIGN KEY ("owner_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "trainings_image_limit_not_negative" CHECK ("image_limit" >= 0),
    CONSTRAINT "trainings_image_bytes_limit_not_negative" CHECK ("image_bytes_limit" >= 0),
    CONSTRAINT "trainings_images_not_negative" CHECK ("images" >= 0),
    CONSTRAINT "trainings_image_bytes_not_negative" CHECK ("image_bytes" >= 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX {{bare:trainings_owner}} ON {{trainings}} ("owner_id", "id");
