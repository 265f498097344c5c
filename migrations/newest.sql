CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE files (
	id INTEGER NOT NULL, 
	account VARCHAR(32) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	file_id VARCHAR(128), 
	bytes BIGINT NOT NULL, 
	lease_token VARCHAR(32), 
	lease_until DOUBLE DEFAULT 0 NOT NULL, 
	uploaded_at DOUBLE, 
	used_at DOUBLE NOT NULL, 
	deleted_at DOUBLE, 
	CONSTRAINT pk_files PRIMARY KEY (id), 
	CONSTRAINT ck_files_status_known CHECK (status IN ('uploading', 'stored', 'gone'))
);

CREATE INDEX ix_files_account_status_used_at ON files (account, status, used_at);

CREATE UNIQUE INDEX uq_files_account_sha256 ON files (account, sha256);

CREATE TABLE jobs (
	id VARCHAR(32) NOT NULL, 
	"key" VARCHAR(255) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	reason TEXT, 
	ask TEXT NOT NULL, 
	label VARCHAR(255), 
	model VARCHAR(128) NOT NULL, 
	provider VARCHAR(32) NOT NULL, 
	endpoint VARCHAR(255) NOT NULL, 
	account VARCHAR(32) NOT NULL, 
	detail VARCHAR(8) NOT NULL, 
	options JSON NOT NULL, 
	weight DOUBLE DEFAULT 1 NOT NULL, 
	served_images DOUBLE DEFAULT 0 NOT NULL, 
	served_tokens DOUBLE DEFAULT 0 NOT NULL, 
	submitted INTEGER NOT NULL, 
	included INTEGER DEFAULT 0 NOT NULL, 
	failed INTEGER DEFAULT 0 NOT NULL, 
	duplicate INTEGER DEFAULT 0 NOT NULL, 
	skipped INTEGER DEFAULT 0 NOT NULL, 
	answer TEXT, 
	created_at DOUBLE NOT NULL, 
	finished_at DOUBLE, follows VARCHAR(32), family VARCHAR(64), idle_since DOUBLE, idle_seconds DOUBLE DEFAULT 0 NOT NULL, owner VARCHAR(64), comparing BOOLEAN DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_jobs PRIMARY KEY (id), 
	CONSTRAINT ck_jobs_status_known CHECK (status IN ('running', 'paused', 'completed', 'partial', 'failed', 'cancelled')), 
	CONSTRAINT ck_jobs_coverage_adds_up CHECK (included + failed + duplicate + skipped <= submitted), 
	CONSTRAINT uq_jobs_key UNIQUE ("key")
);

CREATE INDEX ix_jobs_label ON jobs (label);

CREATE INDEX ix_jobs_status_created_at ON jobs (status, created_at);

CREATE TABLE events (
	id INTEGER NOT NULL, 
	at DOUBLE NOT NULL, 
	job_id VARCHAR(32) NOT NULL, 
	image_id INTEGER, 
	node_id INTEGER, 
	name VARCHAR(48) NOT NULL, 
	detail TEXT, 
	CONSTRAINT pk_events PRIMARY KEY (id), 
	CONSTRAINT fk_events_job_id FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);

CREATE INDEX ix_events_job_id_id ON events (job_id, id);

CREATE TABLE nodes (
	id INTEGER NOT NULL, 
	job_id VARCHAR(32) NOT NULL, 
	parent_id INTEGER, 
	split_from INTEGER, 
	kind VARCHAR(8) NOT NULL, 
	level INTEGER NOT NULL, 
	first_position INTEGER NOT NULL, 
	last_position INTEGER NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	pending INTEGER NOT NULL, 
	"key" VARCHAR(64), 
	text TEXT, 
	images INTEGER DEFAULT 0 NOT NULL, 
	tokens INTEGER DEFAULT 0 NOT NULL, 
	refused_citations INTEGER DEFAULT 0 NOT NULL, 
	error_code VARCHAR(32), 
	error TEXT, 
	attempts INTEGER DEFAULT 0 NOT NULL, 
	due_at DOUBLE DEFAULT 0 NOT NULL, 
	lease_token VARCHAR(32), 
	lease_until DOUBLE DEFAULT 0 NOT NULL, 
	started_at DOUBLE, 
	finished_at DOUBLE, look INTEGER DEFAULT 1 NOT NULL, unit INTEGER, 
	CONSTRAINT pk_nodes PRIMARY KEY (id), 
	CONSTRAINT ck_nodes_kind_known CHECK (kind IN ('leaf', 'branch')), 
	CONSTRAINT ck_nodes_status_known CHECK (status IN ('waiting', 'ready', 'running', 'done', 'failed', 'split', 'cancelled')), 
	CONSTRAINT ck_nodes_pending_not_negative CHECK (pending >= 0), 
	CONSTRAINT fk_nodes_job_id FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nodes_parent_id FOREIGN KEY(parent_id) REFERENCES nodes (id) ON DELETE CASCADE, 
	CONSTRAINT fk_nodes_split_from FOREIGN KEY(split_from) REFERENCES nodes (id) ON DELETE CASCADE
);

CREATE INDEX ix_nodes_job_id_status ON nodes (job_id, status);

CREATE INDEX ix_nodes_parent_id ON nodes (parent_id);

CREATE UNIQUE INDEX uq_nodes_one_root ON nodes (job_id) WHERE parent_id IS NULL AND status <> 'split';

CREATE TABLE calls (
	id INTEGER NOT NULL, 
	"key" VARCHAR(64) NOT NULL, 
	job_id VARCHAR(32), 
	node_id INTEGER, 
	account VARCHAR(32) NOT NULL, 
	model VARCHAR(128) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	images INTEGER NOT NULL, 
	reserved_tokens INTEGER NOT NULL, 
	reply TEXT, 
	finish_reason VARCHAR(32), 
	prompt_tokens INTEGER DEFAULT 0 NOT NULL, 
	cached_tokens INTEGER DEFAULT 0 NOT NULL, 
	completion_tokens INTEGER DEFAULT 0 NOT NULL, 
	cost DOUBLE DEFAULT 0 NOT NULL, 
	currency VARCHAR(3) NOT NULL, 
	http_status INTEGER, 
	error TEXT, 
	trace VARCHAR(128), 
	lease_token VARCHAR(32) NOT NULL, 
	lease_until DOUBLE NOT NULL, 
	started_at DOUBLE NOT NULL, 
	settled_at DOUBLE, reserved_cost DOUBLE DEFAULT 0 NOT NULL, usage_estimated BOOLEAN DEFAULT false NOT NULL, max_tokens INTEGER, reasoning TEXT, endpoint VARCHAR(255), prompt_parts JSON, owner VARCHAR(64), 
	CONSTRAINT pk_calls PRIMARY KEY (id), 
	CONSTRAINT ck_calls_status_known CHECK (status IN ('started', 'settled', 'refused', 'failed', 'unknown')), 
	CONSTRAINT fk_calls_job_id FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE SET NULL, 
	CONSTRAINT fk_calls_node_id FOREIGN KEY(node_id) REFERENCES nodes (id) ON DELETE SET NULL
);

CREATE INDEX ix_calls_job_id ON calls (job_id);

CREATE INDEX ix_calls_key ON calls ("key", status);

CREATE INDEX ix_calls_node_id ON calls (node_id);

CREATE INDEX ix_calls_started_at ON calls (started_at);

CREATE UNIQUE INDEX uq_calls_key_started ON calls ("key") WHERE status = 'started';

CREATE TABLE images (
	id INTEGER NOT NULL, 
	job_id VARCHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	node_id INTEGER, 
	name TEXT NOT NULL, 
	location TEXT NOT NULL, 
	page INTEGER, 
	root TEXT, 
	bytes BIGINT, 
	status VARCHAR(16) NOT NULL, 
	duplicate_of INTEGER, 
	error_code VARCHAR(32), 
	error TEXT, 
	remarks TEXT, 
	source_sha256 VARCHAR(64), 
	sha256 VARCHAR(64), 
	mime VARCHAR(32), 
	width INTEGER, 
	height INTEGER, 
	prepared_bytes INTEGER, 
	tokens INTEGER, 
	attempts INTEGER DEFAULT 0 NOT NULL, 
	due_at DOUBLE DEFAULT 0 NOT NULL, 
	lease_token VARCHAR(32), 
	lease_until DOUBLE DEFAULT 0 NOT NULL, 
	updated_at DOUBLE NOT NULL, answer JSON, changed_ns BIGINT, seen VARCHAR(8), note TEXT, look INTEGER DEFAULT 1 NOT NULL, unclear JSON, first_sha256 VARCHAR(64), version TEXT, facts JSON, unit INTEGER, likeness JSON, similar_to INTEGER, 
	CONSTRAINT pk_images PRIMARY KEY (id), 
	CONSTRAINT ck_images_status_known CHECK (status IN ('pending', 'prepared', 'uploaded', 'included', 'failed', 'duplicate', 'skipped')), 
	CONSTRAINT fk_images_job_id FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE, 
	CONSTRAINT fk_images_node_id FOREIGN KEY(node_id) REFERENCES nodes (id) ON DELETE SET NULL
);

CREATE INDEX ix_images_job_id_status_position ON images (job_id, status, position);

CREATE INDEX ix_images_node_id ON images (node_id);

CREATE INDEX ix_images_sha256 ON images (sha256);

CREATE INDEX ix_images_source_sha256 ON images (source_sha256);

CREATE INDEX ix_images_tried ON images (lease_until) WHERE attempts > 0 AND status IN ('pending', 'prepared');

CREATE UNIQUE INDEX uq_images_job_id_position ON images (job_id, position);

CREATE INDEX ix_images_name ON images (name);

CREATE INDEX ix_images_failed ON images (job_id, position) WHERE status = 'failed';

CREATE VIEW v_nodes ("node", "job", "label", "parent", "split_from", "kind", "level", "first_position", "last_position", "status", "images", "notes", "refused_citations", "error_code", "error", "attempts", "started_at", "finished_at", "seconds") AS SELECT n.id, n.job_id, j.label, n.parent_id, n.split_from, n.kind, n.level, n.first_position, n.last_position, n.status, n.images, n.text, n.refused_citations, n.error_code, n.error, n.attempts, strftime('%Y-%m-%d %H:%M:%f', n.started_at, 'unixepoch'), strftime('%Y-%m-%d %H:%M:%f', n.finished_at, 'unixepoch'), n.finished_at - n.started_at FROM nodes n JOIN jobs j ON j.id = n.job_id;

CREATE VIEW v_calls ("call", "key", "job", "node", "account", "model", "status", "images", "prompt_tokens", "cached_tokens", "completion_tokens", "cost", "currency", "finish_reason", "http_status", "error", "trace", "started_at", "settled_at", "seconds") AS SELECT c.id, c.key, c.job_id, c.node_id, c.account, c.model, c.status, c.images, c.prompt_tokens, c.cached_tokens, c.completion_tokens, c.cost, c.currency, c.finish_reason, c.http_status, c.error, c.trace, strftime('%Y-%m-%d %H:%M:%f', c.started_at, 'unixepoch'), strftime('%Y-%m-%d %H:%M:%f', c.settled_at, 'unixepoch'), c.settled_at - c.started_at FROM calls c;

CREATE VIEW v_failures ("scope", "job", "label", "position", "name", "node", "code", "error", "at") AS SELECT 'job', j.id, j.label, NULL, NULL, NULL, NULL, j.reason, strftime('%Y-%m-%d %H:%M:%f', j.finished_at, 'unixepoch') FROM jobs j WHERE j.status = 'failed' UNION ALL SELECT 'image', i.job_id, j.label, i.position, i.name, i.node_id, i.error_code, i.error, strftime('%Y-%m-%d %H:%M:%f', i.updated_at, 'unixepoch') FROM images i JOIN jobs j ON j.id = i.job_id WHERE i.status = 'failed' UNION ALL SELECT 'node', n.job_id, j.label, NULL, NULL, n.id, n.error_code, n.error, strftime('%Y-%m-%d %H:%M:%f', n.finished_at, 'unixepoch') FROM nodes n JOIN jobs j ON j.id = n.job_id WHERE n.status = 'failed' UNION ALL SELECT 'call', c.job_id, j.label, NULL, NULL, c.node_id, c.status, c.error, strftime('%Y-%m-%d %H:%M:%f', c.settled_at, 'unixepoch') FROM calls c LEFT JOIN jobs j ON j.id = c.job_id WHERE c.status IN ('refused', 'failed', 'unknown');

CREATE TABLE deliveries (
	id INTEGER NOT NULL, 
	job_id VARCHAR(32) NOT NULL, 
	url TEXT NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	event_at DOUBLE DEFAULT 0 NOT NULL, 
	attempts INTEGER DEFAULT 0 NOT NULL, 
	due_at DOUBLE DEFAULT 0 NOT NULL, 
	lease_until DOUBLE DEFAULT 0 NOT NULL, 
	http_status INTEGER, 
	error TEXT, 
	created_at DOUBLE NOT NULL, 
	delivered_at DOUBLE, 
	CONSTRAINT pk_deliveries PRIMARY KEY (id), 
	CONSTRAINT ck_deliveries_status_known CHECK (status IN ('open', 'delivered', 'failed')), 
	CONSTRAINT fk_deliveries_job_id FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);

CREATE UNIQUE INDEX uq_deliveries_job_id_url ON deliveries (job_id, url);

CREATE INDEX ix_deliveries_status_due_at ON deliveries (status, due_at);

CREATE VIEW v_deliveries AS SELECT d.job_id AS job, j.label AS label, d.url AS url, d.status AS status, d.attempts AS attempts, d.http_status AS http_status, d.error AS error, strftime('%Y-%m-%d %H:%M:%f', d.created_at, 'unixepoch') AS created_at, strftime('%Y-%m-%d %H:%M:%f', d.delivered_at, 'unixepoch') AS delivered_at FROM deliveries d JOIN jobs j ON j.id = d.job_id;

CREATE INDEX ix_jobs_follows ON jobs (follows);

CREATE INDEX ix_jobs_family ON jobs (family, created_at);

CREATE VIEW v_answers AS SELECT i.job_id AS job, j.label AS label, i.position AS position, i.name AS name, coalesce(json_extract(j.options, '$.each'), j.ask) AS question, json_extract(i.answer, '$') AS answer FROM images i JOIN jobs j ON j.id = i.job_id WHERE i.answer IS NOT NULL;

CREATE INDEX ix_nodes_split_from ON nodes (split_from) WHERE split_from IS NOT NULL;

CREATE VIEW v_usage_daily AS SELECT date(c.started_at, 'unixepoch') AS "day", c.account AS "account", c.model AS "model", c.currency AS "currency", sum(CASE WHEN (c.status NOT IN ('started', 'failed') OR c.status = 'failed' AND c.http_status IS NOT NULL) THEN 1 ELSE 0 END) AS "requests", sum(CASE WHEN c.status = 'settled' THEN 1 ELSE 0 END) AS "settled", sum(CASE WHEN c.status = 'refused' THEN 1 ELSE 0 END) AS "refused", sum(CASE WHEN c.status IN ('failed', 'unknown') THEN 1 ELSE 0 END) AS "failed", sum(CASE WHEN c.status = 'settled' THEN c.images ELSE 0 END) AS "images", sum(c.prompt_tokens) AS "prompt_tokens", sum(c.cached_tokens) AS "cached_tokens", sum(c.completion_tokens) AS "completion_tokens", sum(c.cost) AS "cost" FROM calls c GROUP BY date(c.started_at, 'unixepoch'), c.account, c.model, c.currency;

CREATE TABLE "endpoint_limits" (
	endpoint VARCHAR(255) NOT NULL, 
	model VARCHAR(128) NOT NULL, 
	part VARCHAR(16) NOT NULL, 
	most INTEGER NOT NULL, 
	named BOOLEAN NOT NULL, 
	proven BOOLEAN NOT NULL, 
	learned_at DOUBLE NOT NULL, 
	message TEXT NOT NULL, 
	measured BOOLEAN DEFAULT (false) NOT NULL, 
	CONSTRAINT pk_endpoint_limits PRIMARY KEY (endpoint, model, part), 
	CONSTRAINT ck_endpoint_limits_part_known CHECK (part IN ('images', 'tokens', 'bytes', 'proven', 'completion_tokens', 'no_max_tokens', 'reply_tokens', 'no_temperature', 'no_reasoning', 'no_system', 'no_json_schema', 'no_json_mode', 'inline', 'jpeg', 'no_detail'))
);

CREATE INDEX ix_calls_endpoint ON calls (endpoint, model, id);

CREATE TABLE endpoint_probes (
	endpoint VARCHAR(255) NOT NULL, 
	model VARCHAR(128) NOT NULL, 
	probed_at DOUBLE NOT NULL, 
	found JSON NOT NULL, 
	CONSTRAINT pk_endpoint_probes PRIMARY KEY (endpoint, model)
);

CREATE TABLE tokens (
	name VARCHAR(40) NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	is_admin BOOLEAN NOT NULL, 
	read_only BOOLEAN NOT NULL, 
	budget DOUBLE, 
	budget_period VARCHAR(8), 
	created_at DOUBLE NOT NULL, 
	revoked_at DOUBLE, 
	CONSTRAINT pk_tokens PRIMARY KEY (name), 
	CONSTRAINT ck_tokens_budget_period_known CHECK (budget_period IN ('day', 'month')), 
	CONSTRAINT uq_tokens_hash UNIQUE (hash)
);

CREATE TABLE sessions (
	hash VARCHAR(64) NOT NULL, 
	token VARCHAR(40) NOT NULL, 
	expires_at DOUBLE NOT NULL, 
	CONSTRAINT pk_sessions PRIMARY KEY (hash), 
	CONSTRAINT fk_sessions_token FOREIGN KEY(token) REFERENCES tokens (name) ON DELETE CASCADE
);

CREATE TABLE shares (
	hash VARCHAR(64) NOT NULL, 
	job_id VARCHAR(32) NOT NULL, 
	created_at DOUBLE NOT NULL, 
	expires_at DOUBLE NOT NULL, 
	CONSTRAINT pk_shares PRIMARY KEY (hash), 
	CONSTRAINT fk_shares_job_id FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);

CREATE INDEX ix_shares_job_id ON shares (job_id);

CREATE INDEX ix_jobs_owner ON jobs (owner, created_at);

CREATE INDEX ix_calls_owner ON calls (owner, started_at) WHERE owner IS NOT NULL;

CREATE VIEW v_jobs AS SELECT j.id AS "job", j.key AS "key", j.label AS "label", j.status AS "status", j.reason AS "reason", j.ask AS "ask", j.answer AS "answer", j.model AS "model", j.endpoint AS "endpoint", j.account AS "account", j.weight AS "weight", j.submitted AS "submitted", CASE WHEN j.finished_at IS NULL THEN (SELECT count(*) FROM images i WHERE i.job_id = j.id AND i.status = 'included') ELSE j.included END AS "included", CASE WHEN j.finished_at IS NULL THEN (SELECT count(*) FROM images i WHERE i.job_id = j.id AND i.status = 'failed') ELSE j.failed END AS "failed", CASE WHEN j.finished_at IS NULL THEN (SELECT count(*) FROM images i WHERE i.job_id = j.id AND i.status = 'duplicate') ELSE j.duplicate END AS "duplicate", CASE WHEN j.finished_at IS NULL THEN (SELECT count(*) FROM images i WHERE i.job_id = j.id AND i.status = 'skipped') ELSE j.skipped END AS "skipped", (SELECT count(*) FROM calls c WHERE c.job_id = j.id AND (c.status NOT IN ('started', 'failed') OR c.status = 'failed' AND c.http_status IS NOT NULL)) AS "requests", (SELECT coalesce(sum(c.prompt_tokens + c.completion_tokens), 0) FROM calls c WHERE c.job_id = j.id) AS "tokens", (SELECT coalesce(sum(c.cost), 0) FROM calls c WHERE c.job_id = j.id) AS "cost", strftime('%Y-%m-%d %H:%M:%f', j.created_at, 'unixepoch') AS "created_at", strftime('%Y-%m-%d %H:%M:%f', j.finished_at, 'unixepoch') AS "finished_at", j.finished_at - j.created_at - j.idle_seconds AS "seconds", j.owner AS "owner" FROM jobs j;

CREATE TABLE units (
	id INTEGER NOT NULL, 
	job_id VARCHAR(32) NOT NULL, 
	number INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	duplicate_of INTEGER, 
	answer JSON, 
	CONSTRAINT pk_units PRIMARY KEY (id), 
	CONSTRAINT fk_units_job_id FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);

CREATE UNIQUE INDEX uq_units_job_id_number ON units (job_id, number);

CREATE INDEX ix_units_duplicate_of ON units (job_id, duplicate_of) WHERE duplicate_of IS NOT NULL;

CREATE VIEW v_images AS SELECT i.id AS "image", i.job_id AS "job", j.label AS "label", i.position AS "position", i.name AS "name", i.location AS "location", i.page AS "page", i.status AS "status", i.error_code AS "error_code", i.error AS "error", i.duplicate_of AS "duplicate_of", i.node_id AS "node", i.source_sha256 AS "source_sha256", i.sha256 AS "sha256", i.mime AS "mime", i.width AS "width", i.height AS "height", i.bytes AS "bytes", i.prepared_bytes AS "prepared_bytes", i.tokens AS "tokens", i.remarks AS "remarks", strftime('%Y-%m-%d %H:%M:%f', i.updated_at, 'unixepoch') AS "updated_at", CASE WHEN i.status = 'included' THEN coalesce(i.seen, 'sent') END AS "seen", i.note AS "note", i.look AS "look", CAST(i.unclear AS TEXT) AS "unclear", u.name AS "unit", CAST(i.facts AS TEXT) AS "facts" FROM images i JOIN jobs j ON j.id = i.job_id LEFT JOIN units u ON u.job_id = i.job_id AND u.number = i.unit;

CREATE VIEW v_units AS 
WITH RECURSIVE paid AS (
  SELECT n.id AS node, n.job_id, n.unit, sum(c.cost) AS cost
  FROM nodes n JOIN calls c ON c.node_id = n.id AND c.job_id = n.job_id
  WHERE n.job_id IN (SELECT job_id FROM units) AND c.status <> 'started'
    AND (c.images > 0 OR n.unit IS NOT NULL)
  GROUP BY n.id, n.job_id, n.unit
), parts(node, part) AS (
  SELECT node, node FROM paid WHERE unit IS NULL
  UNION
  SELECT p.node, n.id FROM parts p JOIN nodes n ON n.split_from = p.part OR n.parent_id = p.part
), shown AS (
  SELECT p.node, i.unit, count(*) AS images FROM parts p JOIN images i ON i.node_id = p.part
  WHERE i.unit IS NOT NULL AND i.sha256 IS NOT NULL GROUP BY p.node, i.unit
), shares AS (
  SELECT job_id, unit, cost FROM paid WHERE unit IS NOT NULL
  UNION ALL
  SELECT p.job_id, s.unit, p.cost * s.images / sum(s.images) OVER (PARTITION BY s.node)
  FROM paid p JOIN shown s ON s.node = p.node
)
SELECT u.job_id AS "job", j.label AS "label", u.number AS "number", u.name AS "unit", json_extract(j.options, '$.each') AS "question", json_extract(u.answer, '$') AS "answer", u.duplicate_of AS "duplicate_of", i.first_position AS "first_position", coalesce(i.submitted, 0) AS "submitted", coalesce(i.included, 0) AS "included", coalesce(i.failed, 0) AS "failed", coalesce(i.duplicate, 0) AS "duplicate", coalesce(i.skipped, 0) AS "skipped", coalesce(m.cost, 0) AS "cost" FROM units u JOIN jobs j ON j.id = u.job_id
LEFT JOIN (
  SELECT job_id, unit, min(position) AS first_position, count(*) AS submitted, sum(CASE WHEN status = 'included' THEN 1 ELSE 0 END) AS included, sum(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) AS failed, sum(CASE WHEN status = 'duplicate' THEN 1 ELSE 0 END) AS duplicate, sum(CASE WHEN status = 'skipped' THEN 1 ELSE 0 END) AS skipped
  FROM images WHERE unit IS NOT NULL GROUP BY job_id, unit
) i ON i.job_id = u.job_id AND i.unit = u.number
LEFT JOIN (SELECT job_id, unit, sum(cost) AS cost FROM shares GROUP BY job_id, unit) m
  ON m.job_id = u.job_id AND m.unit = u.number;

CREATE INDEX ix_nodes_ready ON nodes (job_id, kind, level, first_position) WHERE status = 'ready';

CREATE INDEX ix_nodes_waiting ON nodes (id) WHERE status = 'waiting';

CREATE INDEX ix_nodes_running ON nodes (lease_until) WHERE status = 'running';

CREATE INDEX ix_images_troubled ON images (job_id, status) WHERE error IS NOT NULL AND status IN ('pending', 'prepared');

CREATE INDEX ix_images_upload ON images (location, job_id) WHERE location LIKE 'upload:%';

CREATE INDEX ix_files_leased ON files (lease_token) WHERE lease_token IS NOT NULL;

INSERT INTO alembic_version VALUES ('0028')
