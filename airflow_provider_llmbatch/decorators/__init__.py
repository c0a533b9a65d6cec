"""What ``@task.…`` finds here."""
