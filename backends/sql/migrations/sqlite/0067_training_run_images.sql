CREATE TABLE {{training_run_images}} (
    "run_id" BLOB NOT NULL CHECK (length("run_id") = 16),
    "position" INTEGER NOT NULL,
    "image_id" BLOB CHECK (length("image_id") = 16),
    "of_image" BLOB NOT NULL CHECK (length("of_image") = 16),
    "name" TEXT NOT NULL,
    "url" TEXT NOT NULL,
    "media_type" TEXT NOT NULL,
    "text" TEXT NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("run_id", "position"),
    CONSTRAINT "training_run_images_run" FOREIGN KEY ("run_id") REFERENCES {{training_runs}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "training_run_images_image" FOREIGN KEY ("image_id") REFERENCES {{training_images}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "training_run_images_position_not_negative" CHECK ("position" >= 0),
    CONSTRAINT "training_run_images_media_type" CHECK ("media_type" IN ('image/png', 'image/jpeg', 'image/webp'))
) STRICT, WITHOUT ROWID;

CREATE INDEX {{bare:training_run_images_image}} ON {{training_run_images}} ("image_id", "run_id", "position");
