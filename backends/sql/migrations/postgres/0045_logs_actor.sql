-- What somebody did is listed.
CREATE INDEX {{bare:logs_actor}} ON {{logs}} ("actor_id" NULLS FIRST, "id");
