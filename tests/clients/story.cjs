// One story for every client: what it lists, makes, changes, reads, finds and deletes, and how it takes refusals. Prints what the client saw as one line of JSON; the
// test compares that with what the practice CRM holds.

exports.tell = async (throttle, connect) => {
    const [url, token, gone, absent] = process.argv.slice(2);
    const client = connect(url, token);
    const refused = async (call) => {
        try {
            await call();
            return null;
        } catch (error) {
            return client.refusal(error);
        }
    };
    const saw = { listed: await client.list(3) };
    saw.made = await client.make("made@client.test", "Made");
    await client.change(saw.made, "+49301234");
    saw.read = await client.read(saw.made);
    saw.found = await client.find("made@client.test");
    await client.remove(gone);
    saw.extra = (await client.extra?.(saw.made, "upserted@client.test")) ?? null;
    saw.absent = await refused(() => client.read(absent));
    saw.unauthorised = await refused(() => connect(url, "wrong").read(saw.made));
    const prepared = await fetch(`${url}/sandbox/next`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ shape: throttle }),
    });
    if (!prepared.ok) throw new Error(`${throttle}: ${prepared.status} ${await prepared.text()}`);
    saw.throttled = await refused(() => client.read(saw.made));
    console.log(JSON.stringify(saw));
};
