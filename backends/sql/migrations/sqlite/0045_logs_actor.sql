-- What somebody did is listed.
CREATE INDEX {{bare:logs_actor}} ON {{logs}} ("actor_id", "id");
