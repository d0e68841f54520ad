"""What is kept of a visitor."""

from django.db import models


class Entry(models.Model):
    """One entry in the guestbook, with a file if the visitor wants to leave one."""

    name = models.CharField(max_length=80)
    message = models.CharField(max_length=500)
    attachment = models.FileField(blank=True)
    visitor = models.GenericIPAddressField("visitor's address", null=True, editable=False)
    written = models.DateTimeField(auto_now_add=True)

    class Meta:
        """Newest first."""

        ordering = ("-pk",)
        verbose_name_plural = "entries"

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"

    @classmethod
    def keep_latest(cls, count: int) -> None:
        """Delete all but so many, files included: everybody may write here."""
        for entry in cls.objects.all()[count:]:
            entry.attachment.delete(save=False)
            entry.delete()
