"""The tables of a new ledger. ledger.database changes those of an older one."""

TABLES = """
CREATE TABLE states (id INTEGER PRIMARY KEY, digest TEXT NOT NULL, backend TEXT NOT NULL, native TEXT NOT NULL,
                     install_only TEXT NOT NULL,
                     base INTEGER, depth INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX states_digest ON states (digest);
CREATE TABLE histories (key TEXT PRIMARY KEY, current TEXT, first_state INTEGER, began TEXT, moved_from TEXT,
                        moved_by INTEGER);
CREATE TABLE records (key TEXT NOT NULL, value TEXT NOT NULL, state INTEGER, tried REAL NOT NULL, reached REAL,
                      run INTEGER, reached_run INTEGER, turn INTEGER, PRIMARY KEY (key, value)) WITHOUT ROWID;
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, config_id TEXT NOT NULL, finished REAL,
                   document TEXT NOT NULL, changes TEXT);
CREATE INDEX runs_open ON runs (finished) WHERE finished IS NULL;
CREATE TABLE deliveries (turn INTEGER PRIMARY KEY AUTOINCREMENT, config_id TEXT NOT NULL UNIQUE, key TEXT NOT NULL,
                         value TEXT NOT NULL, action TEXT NOT NULL, received REAL NOT NULL, policy TEXT NOT NULL,
                         restore INTEGER, started REAL, finished REAL, run INTEGER, body TEXT, address TEXT,
                         request TEXT);
CREATE INDEX deliveries_open ON deliveries (turn) WHERE finished IS NULL;
CREATE TABLE outbox (config_id TEXT PRIMARY KEY, address TEXT NOT NULL, target TEXT, body TEXT NOT NULL,
                     standing TEXT NOT NULL, tries INTEGER NOT NULL, updated REAL NOT NULL,
                     last_answer TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE archive (name TEXT NOT NULL, arch TEXT NOT NULL, version TEXT NOT NULL, file TEXT NOT NULL,
                      sha256 TEXT NOT NULL, size INTEGER NOT NULL, installed_kb INTEGER NOT NULL, origin TEXT NOT NULL,
                      digest TEXT NOT NULL, PRIMARY KEY (name, arch, version, digest)) WITHOUT ROWID;
"""
