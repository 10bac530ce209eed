// jsforce, the Salesforce client of the field for Node, lives through the story of story.cjs.
const { Connection } = require("jsforce");
const { tell } = require("./story.cjs");

const FIELDS = "Id, Email, LastName, Phone";

tell("403 concurrent", (instanceUrl, accessToken) => {
    const open = () => new Connection({ instanceUrl, accessToken, version: "62.0", maxRequest: 1 });
    const contacts = open().sobject("Contact");
    const person = (record) => ({ id: record.Id, email: record.Email, phone: record.Phone });
    return {
        async list(limit) {
            const conn = open();
            const emails = [];
            let page = await conn.query(`SELECT ${FIELDS} FROM Contact ORDER BY Id`, { headers: { "Sforce-Query-Options": `batchSize=${limit}` } });
            for (;;) {
                emails.push(...page.records.map((record) => record.Email));
                if (page.done) return emails;
                page = await conn.queryMore(page.nextRecordsUrl);
            }
        },
        async make(email, name) {
            return (await contacts.create({ Email: email, LastName: name })).id;
        },
        async change(id, phone) {
            await contacts.update({ Id: id, Phone: phone });
        },
        async read(id) {
            return person(await contacts.retrieve(id));
        },
        async find(email) {
            return (await contacts.find({ Email: email }, "Id")).map((record) => record.Id);
        },
        async remove(id) {
            await contacts.destroy(id);
        },
        async extra(id, email) {
            const collection = await open().retrieve("Contact", [id]);
            const upserted = await contacts.upsert({ Tidemark__c: "42", Email: email, LastName: "Upserted" }, "Tidemark__c");
            const described = (await contacts.describe()).fields.map((field) => field.name);
            const hour = 3_600_000;
            const deleted = await contacts.deleted(new Date(Date.now() - hour), new Date(Date.now() + hour / 60));
            return {
                batch: collection.map(person),
                upserted: [upserted.id],
                described: described.includes("Email"),
                feed: deleted.deletedRecords.map((record) => record.id),
            };
        },
        refusal: (error) => ({ status: error.data?.statusCode ?? null, word: error.errorCode ?? error.name }),
    };
});
