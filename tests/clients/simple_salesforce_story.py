"""simple-salesforce, the Salesforce client of the field for Python, lives through the story of story.py."""

import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce

from story import tell


class Plain(HTTPAdapter):
    """The client knows https alone, the practice CRM http."""

    def send(self, request, **kwargs):
        request.url = request.url.replace("https://", "http://", 1)
        return super().send(request, **kwargs)


class Client:
    def __init__(self, url, token):
        session = requests.Session()
        session.mount("https://", Plain())
        host = url.removeprefix("http://")
        self.salesforce = Salesforce(instance=host, session_id=token, session=session, version="62.0")
        self.contacts = self.salesforce.Contact

    @staticmethod
    def person(record):
        return {"id": record["Id"], "email": record["Email"], "phone": record["Phone"]}

    def list(self, limit):
        headers = {"Sforce-Query-Options": f"batchSize={limit}"}
        page = self.salesforce.query("SELECT Id, Email FROM Contact ORDER BY Id", headers=headers)
        emails = [record["Email"] for record in page["records"]]
        while not page["done"]:
            page = self.salesforce.query_more(page["nextRecordsUrl"], identifier_is_url=True)
            emails += [record["Email"] for record in page["records"]]
        return emails

    def make(self, email, name):
        return self.contacts.create({"Email": email, "LastName": name})["id"]

    def change(self, id, phone):
        self.contacts.update(id, {"Phone": phone})

    def read(self, id):
        return self.person(self.contacts.get(id))

    def find(self, email):
        found = self.salesforce.query_all("SELECT Id FROM Contact WHERE Email = '%s'" % email)
        return [record["Id"] for record in found["records"]]

    def remove(self, id):
        self.contacts.delete(id)

    def extra(self, id, email):
        status = self.contacts.upsert("Tidemark__c/42", {"Email": email, "LastName": "Upserted"})
        upserted = self.contacts.get_by_custom_id("Tidemark__c", "42")["Id"]
        described = [field["name"] for field in self.contacts.describe()["fields"]]
        return {"batch": [self.read(id)], "upserted": [upserted], "made": status, "described": "Email" in described}

    @staticmethod
    def refusal(error):
        content = getattr(error, "content", None)
        first = content[0] if isinstance(content, list) and content else {}
        return {"status": getattr(error, "status", None), "word": first.get("errorCode")}


tell("403 concurrent", Client)
