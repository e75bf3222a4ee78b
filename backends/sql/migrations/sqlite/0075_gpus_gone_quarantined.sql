-- A GPU that was quarantined when it vanished is so when it is back.
ALTER TABLE {{gpus}} ADD COLUMN "gone_quarantined" INTEGER NOT NULL DEFAULT 0 CHECK ("gone_quarantined" IN (0, 1));
