"""The forges that repositories live on: a status on a commit, one comment on a pull request, a pull request of ours."""
