PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE actions (            -- what a part with this key made
	key         TEXT PRIMARY KEY,
	kind        TEXT NOT NULL,
	version     INTEGER NOT NULL,
	components  TEXT NOT NULL,    -- JSON: what the key was computed from
	config      TEXT NOT NULL,    -- digest, in configs
	outputs     TEXT NOT NULL,    -- manifest
	artifact    TEXT NOT NULL,    -- digest of a manifest object, or ''
	seconds     REAL NOT NULL,
	input_bytes INTEGER NOT NULL,
	refusal     TEXT NOT NULL,    -- why a gate refused, or ''
	counts      TEXT NOT NULL,    -- JSON
	created     INTEGER NOT NULL
);
INSERT INTO "actions" VALUES('6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b','clean',1,'{"args":null,"config":"5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9","engine":1,"inputs":{"docs":["6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"]},"kind":"clean","seed":42,"version":1}','5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9','{"files":[{"digest":"ef2d127de37b942baad06145e54b0c619a1f22327b2ebbcfbec78f5564afe39d","path":"docs/00000.jsonl.zst","size":100,"stats":{"bytes":1048576,"documents":214,"first":"wiki:1","last":"wiki:99"}}],"format":1}','',1.5,1048576,'','{"wiki":{"templates":1234,"tables":56}}',1700000001000000000);
INSERT INTO "actions" VALUES('d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35','clean',1,'{"args":null,"config":"5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9","engine":1,"inputs":{"docs":["d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35"]},"kind":"clean","seed":42,"version":1}','5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9','{"files":[{"digest":"ef2d127de37b942baad06145e54b0c619a1f22327b2ebbcfbec78f5564afe39d","path":"docs/00000.jsonl.zst","size":100,"stats":{"bytes":1048576,"documents":214,"first":"wiki:1","last":"wiki:99"}}],"format":1}','19581e27de7ced00ff1ce50b2047e7a567c76b1cbaebabe5ef03f7c3017bb5b7',2.5,1048576,'0.7 of 0.9','{"wiki":{"templates":1234,"tables":56}}',1700000101000000000);
CREATE TABLE configs (
	digest TEXT PRIMARY KEY,
	json   TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "configs" VALUES('23396ba9de055ed7d31b8ec88b8fa0951210ef05d222c8ee6604ad76c2b63d84','["docs/00000.jsonl.zst"]');
INSERT INTO "configs" VALUES('5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9','{"rules":[]}');
CREATE TABLE metrics (            -- said by the part with this key
	key   TEXT NOT NULL,
	name  TEXT NOT NULL,
	step  INTEGER NOT NULL,
	value REAL,                   -- NULL is not a number
	PRIMARY KEY (key, name, step)
) WITHOUT ROWID;
INSERT INTO "metrics" VALUES('6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b','kept',0,0.5);
INSERT INTO "metrics" VALUES('d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35','kept',0,NULL);
CREATE TABLE parts (              -- what became of each part of a run, last word
	run     INTEGER NOT NULL,
	stage   TEXT NOT NULL,
	idx     INTEGER NOT NULL,
	kind    TEXT NOT NULL,
	part    TEXT NOT NULL,
	key     TEXT NOT NULL,        -- '' as long as it is not known
	state   TEXT NOT NULL,
	attempt INTEGER NOT NULL,
	started INTEGER NOT NULL,
	seconds REAL NOT NULL,
	error   TEXT NOT NULL,
	PRIMARY KEY (run, stage, idx)
) WITHOUT ROWID;
INSERT INTO "parts" VALUES(1,'clean',0,'clean','0','6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b','ran',1,1700000000000000000,1.5,'');
INSERT INTO "parts" VALUES(3,'clean',0,'clean','0','6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b','cached',0,1700000100000000000,0.0,'');
INSERT INTO "parts" VALUES(3,'clean',1,'clean','1','d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35','ran',2,1700000100500000000,2.5,'');
CREATE TABLE pins (               -- artifacts that garbage collection keeps
	artifact TEXT PRIMARY KEY,    -- digest of a manifest object
	name     TEXT NOT NULL,       -- what the user called it, or ''
	created  INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO "pins" VALUES('19581e27de7ced00ff1ce50b2047e7a567c76b1cbaebabe5ef03f7c3017bb5b7','',1700000300000000000);
INSERT INTO "pins" VALUES('2c624232cdd221771294dfbb310aca000a0df6ac8b66b696d90ef06fdefb64a3','release 1',1700000200000000000);
CREATE TABLE runs (
	id       INTEGER PRIMARY KEY AUTOINCREMENT,
	pipeline TEXT NOT NULL,
	file     TEXT NOT NULL,
	profile  TEXT NOT NULL,
	args     TEXT NOT NULL,       -- JSON list
	pid      INTEGER NOT NULL,
	lock     TEXT NOT NULL,       -- file that the run's process holds locked
	state    TEXT NOT NULL,       -- running done failed refused interrupted died
	started  INTEGER NOT NULL,
	ended    INTEGER,             -- NULL while running, and for ever when died
	summary  TEXT NOT NULL        -- JSON
, graph TEXT NOT NULL DEFAULT '');
INSERT INTO "runs" VALUES(1,'v16','p.yaml','sample','["run","v16.yaml"]',12,'/home/ana/.pipeline/locks/run-1','done',1700000000000000000,1700000002000000000,'{"run":1}','');
INSERT INTO "runs" VALUES(2,'v16','p.yaml','sample','["run","v16.yaml"]',12,'/home/ana/.pipeline/locks/run-2','running',1700000003000000000,NULL,'','');
INSERT INTO "runs" VALUES(3,'v16','p.yaml','sample','["run","v16.yaml","--keep-going"]',14,'/home/ana/.pipeline/locks/run-3','done',1700000100000000000,1700000101000000000,'{"run":3}','{"sources":[{"name":"wiki","files":"23396ba9de055ed7d31b8ec88b8fa0951210ef05d222c8ee6604ad76c2b63d84"}],"stages":[{"config":"5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9","kind":"clean","name":"clean"}]}');
CREATE TABLE sources (            -- digests of files outside, while they stay as they were
	dev    INTEGER NOT NULL,
	ino    INTEGER NOT NULL,
	size   INTEGER NOT NULL,
	mtime  INTEGER NOT NULL,
	ctime  INTEGER NOT NULL,
	sha256 TEXT NOT NULL,
	PRIMARY KEY (dev, ino)
) WITHOUT ROWID;
INSERT INTO "sources" VALUES(1,2,3,4,5,'7902699be42c8a8e46fbbb4501726517e86b22c56a189f7625a6da49081b2451');
CREATE TABLE stages (             -- stages that ended, by run
	run     INTEGER NOT NULL,
	stage   TEXT NOT NULL,
	kind    TEXT NOT NULL,
	parts   INTEGER NOT NULL,
	ran     INTEGER NOT NULL,
	cached  INTEGER NOT NULL,
	seconds REAL NOT NULL,
	outputs TEXT NOT NULL,        -- JSON
	UNIQUE (run, stage)
);
INSERT INTO "stages" VALUES(1,'clean','clean',1,1,0,1.5,'{"docs":{"bytes":100}}');
INSERT INTO "stages" VALUES(3,'clean','clean',2,1,1,2.5,'{"docs":{"bytes":200,"digest":"2c624232cdd221771294dfbb310aca000a0df6ac8b66b696d90ef06fdefb64a3"}}');
CREATE INDEX actions_by_kind ON actions (kind, created);
CREATE INDEX runs_by_pipeline ON runs (pipeline, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('runs',3);
PRAGMA user_version=2;
COMMIT;
