"""Builds the container image, with buildah and without a Docker daemon: ``make image``.

In comes the work tree, with the `Dockerfile`; out go an image in buildah's storage and the same as an OCI
archive. The Dockerfile alone says what is in the image: everything here is also done by ``docker build``, but
for the base where no registry can be reached (`image.standin`). Imports of `lab` what fetches and unpacks
Debian's packages (`lab.apt`, `lab.tree`).
"""
