"""Mailchimp's own client lives through the story of story.py."""

import hashlib

from mailchimp_marketing import Client as Marketing
from mailchimp_marketing.api_client import ApiClientError

from story import tell

LIST = "a1b2c3d4e5"


class Client:
    def __init__(self, url, token):
        self.marketing = Marketing({"api_key": token, "server": "us1"})
        self.marketing.api_client.host = f"{url}/3.0"
        self.lists = self.marketing.lists

    @staticmethod
    def person(member):
        return {"id": member["contact_id"], "email": member["email_address"], "phone": member["merge_fields"]["PHONE"]}

    def list(self, limit):
        emails = []
        while True:
            page = self.lists.get_list_members_info(LIST, count=limit, offset=len(emails), sort_field="last_changed", sort_dir="ASC")
            emails += [member["email_address"] for member in page["members"]]
            if len(emails) >= page["total_items"]:
                return emails

    def make(self, email, name):
        member = {"email_address": email, "status": "subscribed", "merge_fields": {"LNAME": name}}
        return self.lists.add_list_member(LIST, member)["contact_id"]

    def change(self, id, phone):
        self.lists.update_list_member(LIST, id, {"merge_fields": {"PHONE": phone}})

    def read(self, id):
        return self.person(self.lists.get_list_member(LIST, id))

    def find(self, email):
        # A member is found by the digest of its address.
        digest = hashlib.md5(email.lower().encode()).hexdigest()
        return [self.lists.get_list_member(LIST, digest)["contact_id"]]

    def remove(self, id):
        self.lists.delete_list_member(LIST, id)

    def extra(self, id, email):
        digest = hashlib.md5(email.encode()).hexdigest()
        upserted = self.lists.set_list_member(LIST, digest, {"email_address": email, "status_if_new": "subscribed"})
        members = [{"email_address": "batch@client.test", "status": "subscribed"}, {"email_address": "nonsense"}]
        batch = self.lists.batch_list_members(LIST, {"members": members, "update_existing": True})
        return {"upserted": [upserted["contact_id"]], "created": batch["total_created"], "spoilt": batch["error_count"]}

    @staticmethod
    def refusal(error):
        if not isinstance(error, ApiClientError):
            return {"status": None, "word": str(error)}
        return {"status": error.status_code, "word": error.text.get("title") if isinstance(error.text, dict) else None}


tell("429 connections", Client)
