//! Who may do what: every operation of the served document, and every frame that can be posted, by every kind of caller.
//! An operation without a row fails, so that none is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use chat_core::id::{ChatId, UserId};
use hyper::Method;
use serde_json::{Value, json};
use tests::socket::Closed;
use tests::stack::Setup;
use tests::{Answer, Call, Contract, Rest, Socket, Stack};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// Limits out of the way, and push on.
const MORE: &str = "    limits: {sendsPerUser: {perSecond: 100000, burst: 100000}, \
    sendsPerChat: {perSecond: 100000, burst: 100000}, typingPerMinute: 600}\n  \
    push:\n    fcm: { serviceAccountSecretRef: { name: fcm } }\n";

/// How long a projection of the log may take to show, and a short token to expire.
const SOON: Duration = Duration::from_mins(1);

/// The callers, in the order of the columns of [`TABLE`].
const CALLERS: [&str; 14] = [
    "admin",
    "member",
    "left",
    "removed",
    "stranger",
    "blocked",
    "none",
    "expired",
    "bad",
    "read",
    "write",
    "backend",
    "as",
    "pretender",
];

/// What each caller gets. `ack` is the good reply to a posted frame. A letter behind a status tells the code, see
/// [`code_of`]; for `openSocket` a number above 1000 is a close code.
///
/// - admin, member: of the group. left, removed: were in it. stranger: never was.
/// - blocked: was blocked by the admin; calls for their DIRECT chat.
/// - none, expired, bad: the token is missing, has expired, is signed by somebody else.
/// - read, write: the member, with one scope alone. backend: with scope `admin` alone. as: the same with `Act-As` the
///   admin of the group. pretender: the member, with `Act-As` the admin.
///
/// What is changed and read was written by the member, in the DIRECT chat by the blocked user.
const TABLE: &str = "
operation           admin member left removed stranger blocked | none expired bad | read write backend as pretender
openSocket          101  101  101  101  101  101  | 401u 4006 4500 | 101  4502 4502 4502 101
readMe              200  200  200  200  200  200  | 401u 401e 401b | 200  403f 403f 200  403f
changeMe            200  200  200  200  200  200  | 401u 401e 401b | 403f 200  403f 200  403f
listChats           200  200  200  200  200  200  | 401u 401e 401b | 200  403f 403f 200  403f
createChat          201  201  201  201  201  201  | 401u 401e 401b | 403f 201  403f 201  403f
createChat/direct   201  201  201  201  201  403b | 401u 401e 401b | 403f 200  403f 200  403f
readChat            200  200  200  200  404c 200  | 401u 401e 401b | 200  403f 403f 200  403f
renameChat          200  403f 403f 403f 404c 403f | 401u 401e 401b | 403f 403f 403f 200  403f
setMember           200  403f 403f 403f 404c 403f | 401u 401e 401b | 403f 403f 403f 200  403f
removeMember        204  403f 403f 403f 404c 403f | 401u 401e 401b | 403f 403f 403f 204  403f
removeMember/self   204  204  204  204  404c 403f | 401u 401e 401b | 403f 204  403f 204  403f
muteChat            204  204  403f 403f 404c 204  | 401u 401e 401b | 403f 204  403f 204  403f
unmuteChat          204  204  403f 403f 404c 204  | 401u 401e 401b | 403f 204  403f 204  403f
listMessages        200  200  200  200  404c 200  | 401u 401e 401b | 200  403f 403f 200  403f
readMessage         200  200  200  200  404c 200  | 401u 401e 401b | 200  403f 403f 200  403f
readMessage/later   200  200  404m 404m 404c 404m | 401u 401e 401b | 200  403f 403f 200  403f
sendMessage         201  201  403f 403f 404c 403b | 401u 401e 401b | 403f 201  403f 201  403f
editMessage         403f 200  403f 403f 404c 403b | 401u 401e 401b | 403f 200  403f 403f 403f
deleteMessage       204  204  403f 403f 404c 204  | 401u 401e 401b | 403f 204  403f 204  403f
listReceipts        403f 200  403f 403f 404c 200  | 401u 401e 401b | 200  403f 403f 403f 403f
searchMessages      200  200  200  200  200  200  | 401u 401e 401b | 200  403f 403f 200  403f
searchMessages/chat 200  200  200  200  404c 200  | 401u 401e 401b | 200  403f 403f 200  403f
readPresence        200  200  200  200  200  200  | 401u 401e 401b | 200  403f 403f 200  403f
listDevices         200  200  200  200  200  200  | 401u 401e 401b | 200  403f 403f 200  403f
putDevice           200  200  200  200  200  200  | 401u 401e 401b | 403f 200  403f 200  403f
deleteDevice        204  204  204  204  204  204  | 401u 401e 401b | 403f 204  403f 204  403f
listBlocks          200  200  200  200  200  200  | 401u 401e 401b | 200  403f 403f 200  403f
blockUser           204  204  204  204  204  204  | 401u 401e 401b | 403f 204  403f 204  403f
unblockUser         204  204  204  204  204  204  | 401u 401e 401b | 403f 204  403f 204  403f
pollEvents          200  200  200  200  200  200  | 401u 401e 401b | 200  403f 403f 200  403f
postFrame/sync      ack  ack  ack  ack  ack  ack  | 401u 401e 401b | ack  403f 403f ack  403f
postFrame/send      ack  ack  403f 403f 404c 403b | 401u 401e 401b | 403f 403f 403f ack  403f
postFrame/edit      403f ack  403f 403f 404c 403b | 401u 401e 401b | 403f 403f 403f 403f 403f
postFrame/delete    ack  ack  403f 403f 404c ack  | 401u 401e 401b | 403f 403f 403f ack  403f
postFrame/receipt   ack  ack  403f 403f 404c ack  | 401u 401e 401b | 403f 403f 403f ack  403f
postFrame/typing    ack  ack  403f 403f 404c 403b | 401u 401e 401b | 403f 403f 403f ack  403f
signOut             403f 403f 403f 403f 403f 403f | 401u 401e 401b | 403f 403f 204  204  403f
eraseUser           403f 403f 403f 403f 403f 403f | 401u 401e 401b | 403f 403f 202  202  403f
readReport          403f 403f 403f 403f 403f 403f | 401u 401e 401b | 403f 403f 404n 404n 403f
testPush            403f 403f 403f 403f 403f 403f | 401u 401e 401b | 403f 403f 200  200  403f
listPushOutcomes    403f 403f 403f 403f 403f 403f | 401u 401e 401b | 403f 403f 200  200  403f
readStats           403f 403f 403f 403f 403f 403f | 401u 401e 401b | 403f 403f 200  200  403f
";

/// What the message says that is read and changed.
const EARLIER: &str = "plugh";

/// A word of all that happened after somebody left.
const LATER: &str = "xyzzy";

/// Returns the code that a letter of the table stands for.
fn code_of(letter: char) -> anyhow::Result<&'static str> {
    Ok(match letter {
        'u' => "unauthenticated",
        'e' => "token_expired",
        'b' => "bad_token",
        'f' => "forbidden",
        'c' => "chat_not_found",
        'm' => "message_not_found",
        'n' => "not_found",
        _ => anyhow::bail!("no code has the letter {letter}"),
    })
}

/// Writes what the table says as what [`outcome`] says.
fn expected(cell: &str) -> anyhow::Result<String> {
    let Some(letter) = cell.chars().last().filter(char::is_ascii_alphabetic).filter(|_| cell != "ack") else {
        return Ok(cell.to_owned());
    };
    let status = &cell[..cell.len() - 1];
    // `b` is a bad token among the tokens, and a block among the roles.
    let code = if (status, letter) == ("403", 'b') { "blocked" } else { code_of(letter)? };
    Ok(format!("{status} {code}"))
}

fn table() -> anyhow::Result<BTreeMap<&'static str, Vec<String>>> {
    let rows = TABLE.lines().filter(|line| !line.is_empty()).map(|line| {
        let mut words = line.split_whitespace().filter(|word| *word != "|");
        let name = words.next().context("an empty row")?;
        let cells: Vec<&str> = words.collect();
        anyhow::ensure!(cells.len() == CALLERS.len(), "{name} has {} cells", cells.len());
        Ok((name, cells))
    });
    let mut rows: BTreeMap<_, _> = rows.collect::<anyhow::Result<_>>()?;
    anyhow::ensure!(rows.remove("operation").context("no head")? == CALLERS, "the head names other callers");
    rows.into_iter()
        .map(|(name, cells)| Ok((name, cells.into_iter().map(expected).collect::<Result<_, _>>()?)))
        .collect()
}

/// A chat that the cells of one row are about, anew for each: some of them change it.
struct Place {
    group: String,
    /// The DIRECT chat of the admin and the user they block.
    direct: String,
    fay: String,
    /// Makes names of this row.
    number: usize,
}

struct World {
    stack: Stack,
    contract: Contract,
    tokens: BTreeMap<&'static str, String>,
    _dir: tempfile::TempDir,
}

fn direct(a: &str, b: &str) -> anyhow::Result<String> {
    Ok(ChatId::direct(&UserId::new(a)?, &UserId::new(b)?).to_string())
}

async fn done(rest: &Rest, method: Method, path: &str, body: Value) -> anyhow::Result<Value> {
    let answer = rest.call(method, path, &body).await?;
    anyhow::ensure!(answer.status.is_success(), "{path} {body}: {answer:?}");
    Ok(answer.body)
}

/// Signs one token's claims with the signature of another.
fn forged(claims: &str, signature: &str) -> anyhow::Result<String> {
    let (claims, _) = claims.rsplit_once('.').context("no token")?;
    let (_, signature) = signature.rsplit_once('.').context("no token")?;
    Ok(format!("{claims}.{signature}"))
}

impl World {
    async fn start() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        // One gateway: another may believe for some seconds that a member or an unblocked user still is one.
        let stack = Setup::extended(dir.path(), MORE)?.with(&["--gateways", "1"]).start().await?;
        let contract = Contract::fetch(&stack.url).await?;
        let token = async |arguments: &[&str]| {
            let token = stack.run_here(&[&["token", "--user"], arguments].concat()).await?;
            anyhow::Ok(token.trim().to_owned())
        };
        let expired = token(&["bob", "--ttl", "1s"]).await?;
        let mut tokens = BTreeMap::new();
        for (caller, user) in
            [("admin", "ann"), ("member", "bob"), ("left", "cat"), ("removed", "dan"), ("stranger", "eve")]
        {
            tokens.insert(caller, token(&[user]).await?);
        }
        for (caller, user, scope) in
            [("read", "bob", "read"), ("write", "bob", "write"), ("backend", "backend", "admin")]
        {
            tokens.insert(caller, token(&[user, "--scope", scope]).await?);
        }
        tokens.insert("as", tokens["backend"].clone());
        tokens.insert("pretender", tokens["member"].clone());
        tokens.insert("bad", forged(&tokens["admin"], &tokens["member"])?);
        tokens.insert("expired", expired.clone());
        let rest = Rest::new(&stack.url, Some(expired));
        let end = Instant::now() + SOON;
        while rest.get("/v1/me").await?.status != 401 {
            anyhow::ensure!(Instant::now() < end, "a token of one second is still good");
            sleep(Duration::from_millis(500)).await;
        }
        Ok(Self { stack, contract, tokens, _dir: dir })
    }

    fn rest(&self, caller: &str) -> Rest {
        Rest::new(&self.stack.url, self.tokens.get(caller).cloned())
    }

    /// Makes the chats of a row: seq 2 of the group and seq 1 of the DIRECT chat are what is read and changed, seq 5
    /// is the first that those who are out do not see.
    async fn place(&mut self, number: usize) -> anyhow::Result<Place> {
        let (ann, bob) = (self.rest("admin"), self.rest("member"));
        let (fay, ira) = (format!("fay{number}"), format!("ira{number}"));
        let members = json!({ "type": "GROUP", "name": "club", "members": ["bob", "cat", "dan", "gus"] });
        let made = done(&ann, Method::POST, "/v1/chats", members).await?;
        let group = made["chat_id"].as_str().context("no chat_id")?.to_owned();
        let path = format!("/v1/chats/{group}");
        done(&bob, Method::POST, &format!("{path}/messages"), json!({ "content": EARLIER })).await?;
        done(&self.rest("left"), Method::DELETE, &format!("{path}/members/cat"), Value::Null).await?;
        done(&ann, Method::DELETE, &format!("{path}/members/dan"), Value::Null).await?;
        done(&ann, Method::POST, &format!("{path}/messages"), json!({ "content": format!("{LATER} hidden") })).await?;
        done(&ann, Method::PATCH, &path, json!({ "name": format!("{LATER} club") })).await?;
        done(&ann, Method::PUT, &format!("{path}/members/{LATER}"), json!({ "role": "MEMBER" })).await?;

        self.tokens.insert("blocked", self.stack.token(&fay).await?);
        let direct = direct("ann", &fay)?;
        let blocked = self.rest("blocked");
        done(&blocked, Method::POST, "/v1/chats", json!({ "type": "DIRECT", "members": ["ann"] })).await?;
        done(&blocked, Method::POST, &format!("/v1/chats/{direct}/messages"), json!({ "content": "hi" })).await?;
        done(&ann, Method::PUT, &format!("/v1/blocks/{fay}"), Value::Null).await?;
        done(&self.stack.rest(&ira).await?, Method::PUT, &format!("/v1/blocks/{fay}"), Value::Null).await?;
        Ok(Place { group, direct, fay, number })
    }

    /// Makes the call of a cell and says what became of it.
    async fn outcome(&self, row: &str, caller: &str, place: &Place) -> anyhow::Result<String> {
        let (operation, variant) = row.split_once('/').unwrap_or((row, ""));
        if operation == "openSocket" {
            return self.socket(caller).await;
        }
        let is_described = self.takes_act_as(operation)?;
        let mut call = request(operation, variant, caller, place)?;
        for (named, user) in [("as", "ann"), ("pretender", "ann")] {
            if caller == named {
                // A call of the backend does not take the header; sent all the same, it opens nothing.
                call = if is_described { call.header("Act-As", user) } else { call.besides("Act-As", user) };
            }
        }
        let answer = self.contract.call(&self.rest(caller), &call).await?;
        if ["left", "removed", "stranger"].contains(&caller) {
            let told = answer.body.to_string();
            anyhow::ensure!(!told.contains(LATER), "{caller} learns of what came later: {told}");
            anyhow::ensure!(caller != "stranger" || !told.contains(EARLIER), "the stranger reads a message: {told}");
        }
        Ok(summary(operation, &answer))
    }

    fn takes_act_as(&self, operation: &str) -> anyhow::Result<bool> {
        let operations = self.contract.operations()?;
        let (_, operation) = operations.iter().find(|(id, _)| id == operation).context("no such operation")?;
        let parameters = operation.described["parameters"].as_array();
        Ok(parameters.into_iter().flatten().any(|parameter| parameter["name"] == "Act-As"))
    }

    /// Opens a socket and says how it goes.
    async fn socket(&self, caller: &str) -> anyhow::Result<String> {
        let bearer = self.tokens.get(caller).map(|token| format!("Bearer {token}"));
        let mut headers: Vec<(&'static str, &str)> = bearer.iter().map(|bearer| ("authorization", &**bearer)).collect();
        if ["as", "pretender"].contains(&caller) {
            headers.push(("act-as", "ann"));
        }
        let mut socket = Socket::open(&self.stack.url, &headers).await?;
        match socket.request("presence.unsubscribe", json!({})).await {
            Ok(reply) if reply["type"] == "ack" => {
                let hello = socket.push("hello").await?;
                let is_own = caller != "pretender" || hello["user"] == "bob";
                anyhow::ensure!(is_own, "a socket takes no Act-As: {hello}");
                Ok("101".to_owned())
            }
            Ok(reply) => Ok(format!("401 {}", reply["d"]["code"].as_str().unwrap_or_default())),
            Err(error) => match error.downcast_ref::<Closed>().and_then(|closed| closed.code) {
                Some(code) => Ok(code.to_string()),
                None => Err(error),
            },
        }
    }
}

/// Puts an answer into the words of the table.
fn summary(operation: &str, answer: &Answer) -> String {
    let status = answer.status.as_u16();
    if !answer.status.is_success() {
        return format!("{status} {}", answer.body["code"].as_str().unwrap_or_default());
    }
    let Some(reply) =
        answer.body["frames"].as_array().and_then(|frames| frames.last()).filter(|_| operation == "postFrame")
    else {
        return status.to_string();
    };
    match reply["d"]["code"].as_str() {
        None => reply["type"].as_str().unwrap_or_default().to_owned(),
        Some(code) => format!("{} {code}", if code.ends_with("not_found") { 404 } else { 403 }),
    }
}

/// Makes the request of a cell.
fn request(operation: &str, variant: &str, caller: &str, place: &Place) -> anyhow::Result<Call> {
    let (chat_id, seq) = if caller == "blocked" { (&place.direct, 1) } else { (&place.group, 2) };
    let user = match caller {
        "admin" | "as" => "ann",
        "left" => "cat",
        "removed" => "dan",
        "stranger" => "eve",
        "blocked" => &place.fay,
        _ => "bob",
    };
    let call = Call::of(operation);
    let of_chat = || Call::of(operation).at("chat_id", chat_id);
    let of_message = || of_chat().at("seq", seq.to_string());
    let number = place.number;
    Ok(match (operation, variant) {
        ("readMe" | "listChats" | "listDevices" | "listBlocks" | "listPushOutcomes", "") => call,
        ("changeMe", "") => call.body(json!({ "last_seen_visible": true })),
        ("createChat", "") => call.body(json!({ "type": "GROUP", "name": "other", "members": ["gus"] })),
        ("createChat", "direct") => call.body(json!({ "type": "DIRECT", "members": [format!("ira{number}")] })),
        ("readChat" | "unmuteChat" | "listMessages", "") => of_chat(),
        ("renameChat", "") => of_chat().body(json!({ "name": "new" })),
        ("setMember", "") => of_chat().at("user", "hal").body(json!({ "role": "MEMBER" })),
        ("removeMember", "") => of_chat().at("user", "gus"),
        ("removeMember", "self") => of_chat().at("user", user),
        ("muteChat", "") => of_chat().body(json!({})),
        ("readMessage", "later") => of_chat().at("seq", "5"),
        ("readMessage" | "deleteMessage" | "listReceipts", "") => of_message(),
        ("sendMessage", "") => of_chat().body(json!({ "content": "new" })),
        ("editMessage", "") => of_message().body(json!({ "content": "changed" })),
        ("searchMessages", "") => call.query("q", LATER),
        ("searchMessages", "chat") => call.query("q", LATER).query("chat_id", chat_id),
        ("readPresence", "") => call.query("users", "ann,bob"),
        ("putDevice", "") => call.at("device", "phone").body(json!({ "platform": "fcm", "push_token": "t" })),
        ("deleteDevice", "") => call.at("device", "tablet"),
        ("blockUser" | "unblockUser", "") => call.at("user", "pest"),
        ("pollEvents", "") => call.query("wait", "0"),
        ("postFrame", kind) => {
            let d = match kind {
                "sync" => json!({ "have": { chat_id: 0 }, "receipts": true }),
                "send" => json!({ "chat_id": chat_id, "content": "new" }),
                "edit" => json!({ "chat_id": chat_id, "seq": seq, "content": "changed" }),
                "delete" => json!({ "chat_id": chat_id, "seq": seq }),
                "receipt" => json!({ "chat_id": chat_id, "read": seq }),
                "typing" => json!({ "chat_id": chat_id, "active": true }),
                _ => anyhow::bail!("no frame of the type {kind:?}"),
            };
            call.body(json!({ "id": 1, "type": kind, "d": d }))
        }
        ("signOut" | "eraseUser" | "testPush", "") => call.at("user", format!("zed{number}")),
        ("readReport", "") => call.at("report_id", "0195c6a8-7d2e-7c00-8000-000000000001"),
        ("readStats", "") => call.query("from", "2026-01-01T00:00:00Z").query("to", "2026-12-31T00:00:00Z"),
        _ => anyhow::bail!("no request for {operation}/{variant}"),
    })
}

#[tokio::test]
async fn every_operation_answers_every_caller_as_the_table_says() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let table = table()?;
    let rows: BTreeSet<&str> = table.keys().map(|row| row.split('/').next().unwrap_or(row)).collect();
    let operations = world.contract.operations()?;
    let served: BTreeSet<&str> = operations.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(rows, served, "rows, and operations");
    // What a socket alone takes is in `what_is_followed_is_ones_own_to_see`.
    let alone = ["auth", "ping", "presence.subscribe", "presence.unsubscribe"];
    let frames = world.contract.client_frames();
    let posted: BTreeSet<&str> = frames.iter().map(String::as_str).filter(|kind| !alone.contains(kind)).collect();
    let with_row: BTreeSet<&str> = table.keys().filter_map(|row| row.strip_prefix("postFrame/")).collect();
    assert_eq!(with_row, posted, "rows, and frames");

    let mut wrong = Vec::new();
    for (number, (row, cells)) in table.iter().enumerate() {
        let place = world.place(number).await.with_context(|| format!("the chats of {row}"))?;
        for (caller, cell) in CALLERS.iter().zip(cells) {
            let outcome = world.outcome(row, caller, &place).await.unwrap_or_else(|error| format!("{error:#}"));
            if outcome != *cell {
                wrong.push(format!("{row} by {caller}: expected {cell}, got {outcome}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells differ:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

/// Returns what an answer tells of the chats of a place: status, body and names of headers, but for what differs from
/// call to call.
fn told(answer: &Answer, place: &Place) -> (u16, String, Vec<String>) {
    let mut body = answer.body.clone();
    if let Some(body) = body.as_object_mut() {
        body.remove("request_id");
    }
    for frame in body.get_mut("frames").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(d) = frame["d"].as_object_mut() {
            d.remove("server_time");
        }
    }
    let text = body.to_string().replace(&place.group, "ID").replace(&place.direct, "ID");
    let mut headers: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
    headers.sort();
    (answer.status.as_u16(), text, headers)
}

#[tokio::test]
async fn nobody_learns_of_a_chat_they_were_never_in() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let place = world.place(0).await?;
    let nowhere = Place {
        group: Uuid::now_v7().to_string(),
        direct: direct("nobody", "noone")?,
        fay: "nobody".to_owned(),
        number: 1,
    };
    let stranger = world.rest("stranger");
    let mut compared = 0;
    for row in table()?.into_keys() {
        let (operation, variant) = row.split_once('/').unwrap_or((row, ""));
        if operation == "openSocket" {
            continue;
        }
        // As `blocked` asks for the DIRECT chat.
        for caller in ["stranger", "blocked"] {
            let ask = async |place: &Place| {
                let call = request(operation, variant, caller, place)?;
                if !call.is_about_a_chat() {
                    return anyhow::Ok(None);
                }
                Ok(Some(world.contract.call(&stranger, &call).await?))
            };
            if let (Some(there), Some(not_there)) = (ask(&place).await?, ask(&nowhere).await?) {
                assert_eq!(told(&there, &place), told(&not_there, &nowhere), "{row} as {caller}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 30, "only {compared} answers were compared");
    Ok(())
}

#[tokio::test]
async fn who_left_sees_the_chat_as_it_was() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let place = world.place(0).await?;
    let path = format!("/v1/chats/{}", place.group);
    // Who leaves does so with the message that tells of it.
    for (caller, user, left_seq) in [("left", "cat", 3_u64), ("removed", "dan", 4)] {
        let (rest, ann) = (world.rest(caller), world.rest("admin"));
        let later = json!({ "type": "GROUP", "name": "later", "members": [user] });
        done(&ann, Method::POST, "/v1/chats", later).await?;
        done(&ann, Method::POST, &format!("{path}/messages"), json!({ "content": LATER })).await?;
        let chat = done(&rest, Method::GET, &path, Value::Null).await?;
        let seen =
            ["left_seq", "head_seq", "head_rev", "member_count", "name", "members"].map(|field| chat[field].clone());
        let expected = [json!(left_seq), json!(left_seq), json!(0), json!(0), Value::Null, json!([])];
        assert_eq!(seen, expected, "{chat}");
        assert_eq!(chat["head_at"], chat["last_message"]["created_at"], "{chat}");
        assert_eq!(chat["last_message"]["seq"], left_seq);
        let history = done(&rest, Method::GET, &format!("{path}/messages?after=0"), Value::Null).await?;
        let seqs: Vec<u64> =
            history["items"].as_array().into_iter().flatten().filter_map(|it| it["seq"].as_u64()).collect();
        assert_eq!(seqs, (1..=left_seq).collect::<Vec<_>>());
        assert_eq!((&history["head_seq"], &history["has_more"]), (&json!(left_seq), &json!(false)));
        // What goes on in it does not bring it up.
        let list = done(&rest, Method::GET, "/v1/chats", Value::Null).await?;
        assert_eq!((&list["items"][0]["name"], &list["items"][1]["chat_id"]), (&json!("later"), &json!(place.group)));
        let first = done(&rest, Method::GET, "/v1/chats?limit=1", Value::Null).await?;
        let next = first["next_cursor"].as_str().context("no next page")?;
        let second = done(&rest, Method::GET, &format!("/v1/chats?limit=1&cursor={next}"), Value::Null).await?;
        assert_eq!(second["items"][0]["chat_id"], *place.group);
        let sync =
            json!({ "id": 1, "type": "sync", "d": { "have": { place.group.clone(): [0, 0] }, "receipts": true } });
        let synced = done(&rest, Method::POST, "/v1/frames", sync).await?;
        let frames = synced["frames"].as_array().context("no frames")?;
        let (reply, pushed) = frames.split_last().context("no reply")?;
        assert_eq!(reply["d"]["gone"], json!([place.group]));
        let pushed: Vec<&Value> = pushed.iter().map(|frame| &frame["d"]["seq"]).collect();
        assert_eq!(pushed.len() as u64, left_seq, "{pushed:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_followed_is_ones_own_to_see() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let place = world.place(0).await?;
    for caller in ["member", "left", "removed", "stranger", "blocked"] {
        let status = if caller == "member" { "offline" } else { "unknown" };
        let mut socket = Socket::connect(&world.stack.url, &world.tokens[caller]).await?;
        let users = json!({ "users": ["ann", "nobody"] });
        let told = socket.ack("presence.subscribe", users).await?;
        let seen = ["ann", "nobody"].map(|user| told["presence"][user]["status"].clone());
        assert_eq!(seen, [json!(status), json!("unknown")], "{caller}");
        let expected = match caller {
            "member" => "",
            "left" | "removed" => "forbidden",
            _ => "chat_not_found",
        };
        let reply = socket.request("presence.subscribe", json!({ "chats": [place.group] })).await?;
        assert_eq!(reply["d"]["code"].as_str().unwrap_or_default(), expected, "{caller}");
        let looked = world.rest(caller).get("/v1/presence?users=ann,nobody").await?;
        assert_eq!(looked.body["presence"]["ann"]["status"], status, "{caller}");
    }
    Ok(())
}
