// Pipedrive's own client lives through the story of story.cjs.
const { Configuration, PersonsApi } = require("pipedrive/v2");
const { tell } = require("./story.cjs");

tell("429 burst", (url, apiKey) => {
    const persons = new PersonsApi(new Configuration({ apiKey, basePath: `${url}/api/v2` }));
    const primary = (values) => values?.find((value) => value.primary)?.value;
    const person = (record) => ({ id: String(record.id), email: primary(record.emails), phone: primary(record.phones) });
    return {
        async list(limit) {
            const emails = [];
            for (let cursor; ; ) {
                const page = await persons.getPersons({ limit, cursor, sort_by: "id", sort_direction: "asc" });
                emails.push(...page.data.map((record) => person(record).email));
                cursor = page.additional_data?.next_cursor;
                if (!cursor) return emails;
            }
        },
        async make(email, name) {
            const emails = [{ value: email, primary: true, label: "work" }];
            return String((await persons.addPerson({ AddPersonRequest: { name, emails } })).data.id);
        },
        async change(id, phone) {
            const phones = [{ value: phone, primary: true, label: "work" }];
            await persons.updatePerson({ id, UpdatePersonRequest: { phones } });
        },
        async read(id) {
            return person((await persons.getPerson({ id })).data);
        },
        async find(term) {
            const found = await persons.searchPersons({ term, fields: "email", exact_match: true });
            return found.data.items.map((hit) => String(hit.item.id));
        },
        async remove(id) {
            await persons.deletePerson({ id });
        },
        // The client hands over the body alone.
        refusal: (error) => ({ status: error.code ?? null, word: error.error ?? null }),
    };
});
