"""What a visitor fills in."""

from django import forms
from django.core.files.uploadedfile import UploadedFile

from entries.models import Entry

MAX_ATTACHMENT = 1 << 20  # bytes


class EntryForm(forms.ModelForm):
    """A new entry."""

    class Meta:
        """The visitor's address is not the visitor's to say."""

        model = Entry
        fields = ("name", "message", "attachment")

    def clean_attachment(self) -> UploadedFile | None:
        """Take small files alone."""
        attachment = self.cleaned_data["attachment"]
        if attachment and attachment.size > MAX_ATTACHMENT:
            raise forms.ValidationError(f"At most {MAX_ATTACHMENT} bytes, please.")
        return attachment
