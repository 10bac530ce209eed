// HubSpot's own client lives through the story of story.cjs.
const { Client } = require("@hubspot/api-client");
const { tell } = require("./story.cjs");

const PROPERTIES = ["email", "lastname", "phone"];

tell("429 ten secondly", (basePath, accessToken) => {
    const { contacts } = new Client({ accessToken, basePath }).crm;
    const person = (record) => ({ id: record.id, email: record.properties.email, phone: record.properties.phone });
    return {
        async list(limit) {
            const emails = [];
            for (let after; ; ) {
                const page = await contacts.basicApi.getPage(limit, after, PROPERTIES);
                emails.push(...page.results.map((record) => record.properties.email));
                after = page.paging?.next?.after;
                if (after === undefined) return emails;
            }
        },
        async make(email, name) {
            return (await contacts.basicApi.create({ properties: { email, lastname: name }, associations: [] })).id;
        },
        async change(id, phone) {
            await contacts.basicApi.update(id, { properties: { phone } });
        },
        async read(id) {
            return person(await contacts.basicApi.getById(id, PROPERTIES));
        },
        async find(email) {
            const filters = [{ propertyName: "email", operator: "EQ", value: email }];
            const found = await contacts.searchApi.doSearch({ filterGroups: [{ filters }], properties: PROPERTIES, sorts: [], limit: 5 });
            return found.results.map((record) => record.id);
        },
        async remove(id) {
            await contacts.basicApi.archive(id);
        },
        async extra(id, email) {
            // Filled batches, and an upsert by a unique property.
            const read = await contacts.batchApi.read({ inputs: [{ id }, { id: "999999999" }], properties: PROPERTIES, propertiesWithHistory: [] });
            const inputs = [{ idProperty: "email", id: email, properties: { email, lastname: "Upserted" } }];
            const upserted = await contacts.batchApi.upsert({ inputs });
            return { batch: read.results.map(person), upserted: upserted.results.map((record) => record.id) };
        },
        refusal: (error) => ({ status: error.code ?? null, word: error.body?.category }),
    };
});
