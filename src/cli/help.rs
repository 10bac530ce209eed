//! What stands below the options in the help of each command: what it needs, how it ends, an example. Texts are for strangers.

pub(super) const EXITS: &str = "Exit codes, of every command:
  0    it did what was asked; for what runs until told to stop: it was told, and stopped in order
  1    it could not: the message names the thing, the place and the remedy
  2    `agree` and `demo --once`: the sides differ; `check`: something will fail; `match`: something waits for a person;
       `capture`: something is wrong with a trigger; `erase`: the record is not gone yet;
       `connector test`: a case fails; `connector probe`: the file declares otherwise
  130  ended at once, by a second Ctrl-C or SIGTERM";

pub(super) const UP: &str = "Needs: the database, the queue, and tables made by `tidemark migrate`. With queue.url = \"embedded\" no other process may use the same queue.
Runs until Ctrl-C or SIGTERM, then lets running jobs finish for worker.drain_deadline. A second signal ends it at once.

Exit codes:
  0  it was told to stop
  1  it could not start, or a part of it broke down: the message says which

Example:
  tidemark up --config shop.toml";

pub(super) const SCHEDULER: &str =
    "Needs: the database, tables made by `tidemark migrate`, and a Redis as queue (queue.url) that the workers share.
It serves the dashboard, the API, /metrics, /healthz and /readyz at server.listen. Runs until Ctrl-C or SIGTERM.

Exit codes:
  0  it was told to stop
  1  it could not start, or a loop of it hung: start it again

Example:
  TIDEMARK__SERVER__LISTEN=0.0.0.0:8624 tidemark scheduler";

pub(super) const WORKER: &str = "Needs: the database, tables made by `tidemark migrate`, a Redis as queue (queue.url), and the CRM's secrets in the environment.
Runs until Ctrl-C or SIGTERM, then lets running jobs finish for worker.drain_deadline; what is cut off is taken over by others.

Exit codes:
  0  it was told to stop
  1  it could not start

Example:
  HUBSPOT_TOKEN=pat-na1-... tidemark worker";

pub(super) const MIGRATE: &str =
    "Needs: the database. Run it once per release and after each change of the mapping; running it again changes nothing.
Tables of the order system are left as they are, but for the triggers. It starts no stream: a new one waits for `tidemark resume`.

Exit codes:
  0  all is up to date, or the plan was printed
  1  it could not: a table or column of the mapping is missing, or a right is

Example, for a database administrator to read first:
  tidemark migrate --plan > plan.sql";

pub(super) const CONNECTOR: &str = "Needs: nothing; it reads no configuration and calls nobody. A connector of one's own is a file such as those under connectors/ of the
source; connectors.folder of the configuration names the folder it lies in.

Exit codes:
  0  they were listed, or the file can be used
  1  a file cannot be used: every mistake is named with its line and what to write
  2  `connector test`: a case fails, or was not seen; `connector probe`: something differs

Examples:
  tidemark connector list
  tidemark connector new acme-crm --out connectors/acme-crm.toml
  tidemark connector check connectors/acme-crm.toml";

pub(super) const CONNECTOR_NEW: &str = "What is left to be written begins with FILL-; `tidemark connector check` lists it with its lines. A whole example stands in docs/connectors.md.

Exit codes:
  0  the file was written, or printed
  1  the name cannot be one, or the file is there already

Examples:
  tidemark connector new acme-crm
  tidemark connector new acme-crm --out connectors/acme-crm.toml";

pub(super) const CONNECTOR_TEST: &str =
    "Needs: the file, a server that speaks as it describes, and credentials. No database; a configuration only with --connection.
Test records are made through the connector itself, each marked `tidemark-` and a number, and archived again; what could not be archived is listed at the end.
Nobody else's records are changed. Use a sandbox account: its owners may see the test records, and automations may run on them.
What no account can be brought to show on demand (a throttle, a lost answer, a merge) needs a practice CRM, whose clock, weather and quotas are set for the time of
the test and put back.

Outcomes: holds; fails, with the reason and the line of the file at fault where it is known; not declared; needs the practice CRM; not seen: the CRM gave no occasion.

Exit codes:
  0  every case holds that was tried; those not declared or that need a practice CRM do not count
  1  nothing was tried: the file, the credentials, the account or --yes-write
  2  a case fails, or was not seen

Examples:
  tidemark sandbox --dialect pipedrive --listen 127.0.0.1:9100
  CRM_TOKEN=pat-na1-sandbox tidemark connector test acme-crm.toml --against http://127.0.0.1:9100 \\
    --secret token=CRM_TOKEN --email email --name name --phone phone --yes-write";

pub(super) const CONNECTOR_PROBE: &str = "Needs: what `tidemark connector test` needs. Six test records are made, two of them changed, all archived again.
Found are the smallest step of the stamps, whether either bound of a window takes the stamp it equals, the order of pages, and how late a save shows.
A quiet test account shows less lag than a busy day has: declare more than was found.

Comparisons: agrees; harsher: what is declared costs calls and loses nothing; differs: what is declared loses records.

Exit codes:
  0  nothing differs
  1  nothing was found: the file, the credentials, the account or --yes-write
  2  something differs

Example:
  CRM_TOKEN=... tidemark connector probe acme-crm.toml --against https://api.acme.test --secret token=CRM_TOKEN \\
    --email email --name name --phone phone --yes-write";

pub(super) const CAPTURE: &str = "Needs: the database, with tables made by `tidemark migrate`. --plan and --verify change nothing and may run beside a service.
Capture is the triggers that note which rows the order system changed. Where they are missing every row is compared instead, each
poll.settled_every: nothing is lost, but it is late.

Exit codes:
  0  all is as it ought to be; with --plan or --remove: it was printed, or done
  1  it could not: a table is missing, a right is, or the order system held the table for two seconds
  2  with --verify or --apply: something is wrong with a trigger, which is named

Examples:
  tidemark capture --verify
  tidemark capture --plan > repair.sql
  tidemark capture --remove --reason \"bulk load tonight\"";

pub(super) const UNINSTALL: &str = "Needs: the database. Without --apply nothing is changed: it prints every object of Tidemark's in the database and the SQL that
takes it away, which leaves the order tables as they were found. What is in the CRM stays there.
With --apply it does so in one transaction, if no scheduler or worker is alive and nothing waits to be sent.

Exit codes:
  0  it was printed, or with --apply done
  1  refused, with the reason: nothing was changed

Examples:
  tidemark uninstall --plan > uninstall.sql
  tidemark uninstall --apply --database orders --clear-ids";

pub(super) const ERASE: &str = "Needs: the database and the CRM. Removes one person for good: the row, the record of it in every CRM over the table, what was agreed,
lineage, and what was said of calls. Kept are the ids, and digests of the match keys under a key of this database.
The row is deleted first, then the record is archived; if the CRM cannot be reached a worker goes on. If the person shows up
again on either side, it waits as a parked debt of class `erased`; retrying that is the new consent.

Exit codes:
  0  it is done; with --plan: it was printed
  1  refused, and nothing was changed: there is no such thing, something refers to the row, or a push of it is under way
  2  the row is gone and the record is not yet: it is said why, and tried again by itself

Examples:
  tidemark erase hubspot.contacts 7 --plan
  tidemark erase hubspot.contacts 7 --reason \"request of 2026-11-20\"
  tidemark erase hubspot.contacts --record 501";

pub(super) const CHECK: &str = "Needs: the configuration, and for all but --offline the database, the queue and the CRM. May run beside a service; nothing is changed without --fix.
Each finding is `ok`, `note` (it works, but look at it) or `error` (it will fail), with what to do about it.

Exit codes:
  0  nothing will fail
  1  the configuration cannot be read: every mistake is listed with its line
  2  at least one error was found

Example:
  HUBSPOT_TOKEN=pat-na1-... tidemark check";

pub(super) const STATUS: &str =
    "Needs: the database, with tables made by `tidemark migrate`. It asks no CRM, and works while nothing else runs.
A stream that stands at \"plan ready\" is shown with its plan: nothing is read or written for it before `tidemark resume`.

Exit codes:
  0  it was shown; with --ping: the database answers, and Redis where it is the queue
  1  the database, or with --ping the queue, does not answer

Example:
  tidemark status --json";

pub(super) const AGREE: &str = "Needs: the database and the CRM. Every record is read, which takes calls of the CRM's budget; nothing is changed.
Each field is in one of three groups: the sides agree, they were decided to differ (with the reason), or they differ (listed with the ids).

Exit codes:
  0  the sides agree, or were decided to differ
  1  they could not be compared
  2  they differ

Example:
  tidemark agree hubspot.contacts --json";

pub(super) const MATCH: &str = "Needs: the database and the CRM. Every record is read, which takes calls of the CRM's budget. Nothing is written without --apply.
With --apply the stream is let go; with --apply --only N the mapping is tried out on N things first, and the stream waits on.

Exit codes:
  0  nothing in it waits for a person
  1  the sides could not be looked through, or --apply came too late: the stream runs already
  2  something is ambiguous, invalid or there twice, or was tried out and not linked: it is listed

Examples:
  tidemark match hubspot.contacts
  tidemark match hubspot.contacts --apply --only 50";

pub(super) const WHY: &str = "Needs: the database alone. Former values are known for as long as retention.lineage keeps them.

Exit codes:
  0  it was told
  1  the stream, the row or the record is unknown

Examples:
  tidemark why hubspot.contacts row:7
  tidemark why hubspot.contacts record:501 email";

pub(super) const CONFLICTS: &str = "Needs: the database alone. Fields of owner = \"hold\" come here when both sides changed them; each is listed with the command that decides it.

Exit codes:
  0  they were listed, or there are none
  1  there is no such stream

Example:
  tidemark conflicts hubspot.contacts";

pub(super) const RESOLVE: &str =
    "Needs: the database. The word is recorded with who gave it; the next push or read of a running worker carries it out.

Exit codes:
  0  it is decided
  1  nothing waits there, or the stream, the row or the field is unknown

Examples:
  tidemark resolve hubspot.contacts 7 phone --take crm
  tidemark resolve hubspot.contacts --all phone --take orders --reason \"the shop verified them\"";

pub(super) const PAUSE: &str = "Needs: the database. Running processes take on no more work for it. Changes are still captured, and go out once it is resumed.

Exit codes:
  0  it is paused
  1  there is no such stream or connection, or the stream has not started yet

Example:
  tidemark pause hubspot --reason \"quarter end\"";

pub(super) const SWEEP: &str =
    "Needs: the database, and running scheduler and workers that do it. The stream must have been loaded once.
`tidemark status` shows how far it is and what it found.

Exit codes:
  0  the sweep begins, or one is under way already
  1  there is no such stream, or it was not loaded yet

Example:
  tidemark sweep hubspot.contacts";

pub(super) const REWIND: &str =
    "Needs: the database, and the CRM's secrets, though it makes no call. Without --apply nothing is changed:
it prints which records and calls reading again takes. With --apply running workers read.
What is known already is not written twice. What moved no stamp only `tidemark sweep` finds.

Exit codes:
  0  it was printed, or with --apply the readers are set back
  1  refused: the time lies ahead of the readers or before 1970, or the stream was not loaded yet

Examples:
  tidemark rewind hubspot.contacts --by 2h
  tidemark rewind hubspot.contacts --to 2026-11-25T10:00:00Z --apply";

pub(super) const CALLS: &str = "Needs: the database alone; it asks no CRM. Calls are kept for retention.callouts.
A recording is for a support case: running workers heed it with their next call, it ends by itself after the time or 2,000 calls, and
what was kept goes within a day. Kept are paths, names, structure, numbers of items, codes and ids of requests; secrets never, and every
value is replaced by its kind and length.

Exit codes:
  0  they were listed, or the recording runs or has ended
  1  there is no such connection or call, or more than an hour was asked for

Examples:
  tidemark calls hubspot --failed
  tidemark calls --record hubspot --for 15m --reason \"case 4711 with the vendor\"
  tidemark calls --show 20417
  tidemark calls --stop hubspot";

pub(super) const RELIABILITY: &str = "Needs: the database alone; it asks no CRM. Hours are counted by a running scheduler and kept for retention.call_hours; the calls
themselves for retention.callouts.
A first try is a call that tries nothing again; what failed is cured when a later attempt at it succeeds. An outage lasts from the first
call that got no usable answer (none, a broken one, 5xx, 429) to the next that did.

Exit codes:
  0  it was printed
  1  there is no such connection

Examples:
  tidemark reliability
  tidemark reliability hubspot --since 30d --markdown > hubspot.md";

pub(super) const RESUME: &str = "Needs: the database. Running processes heed it within a tick.

Exit codes:
  0  it runs, or nothing waits behind that brake any more
  1  there is no such stream or connection

Examples:
  tidemark resume hubspot.contacts --act delete   lets through what its brake on deletes holds back
  tidemark match hubspot.contacts      shows what would happen
  tidemark resume hubspot.contacts     says go to it
  tidemark resume hubspot              after `tidemark pause hubspot`";

pub(super) const ENVIRONMENT: &str = "Needs: the database, and the queue for what is remembered beside it. Asks no CRM. Without `adopt` nothing is changed.
A database at another place than it was adopted at is not started on: it may be a copy. From one that is older than was seen of it, or on
which nothing ran for environment.restore_guard, nothing is sent until everything was read again and somebody has looked.

Exit codes:
  0  it was shown, or adopted
  1  it could not: with `adopt`, not every stream was read, compared and swept yet

Examples:
  tidemark environment
  tidemark environment adopt --reason \"restored last night's backup\"";

pub(super) const SANDBOX: &str =
    "Needs: nothing. Reads no configuration; what is in it is gone when it ends. Runs until Ctrl-C or SIGTERM.
A stream reaches it with base_url = \"http://127.0.0.1:8625\" and the token in its connection. The page is at /sandbox/.
docs/sandbox.md tells what each dialect offers, its quirks and their switches.

Exit codes:
  0  it was told to stop
  1  it cannot listen there

Examples:
  tidemark sandbox --records 100 --weather rough
  tidemark sandbox --dialect pipedrive --records 20";

pub(super) const DEMO: &str = "Needs: nothing. Reads no configuration but writes one, which is a good start for your own. Runs until Ctrl-C, or with --once until both sides agree.

Exit codes:
  0  it was ended by Ctrl-C; with --once: both sides agree
  1  it could not start or broke down: a port is in use, the folder cannot be written
  2  with --once: the sides differ after --patience

Examples:
  tidemark demo
  tidemark demo --once --records 500 --weather rough --json";
