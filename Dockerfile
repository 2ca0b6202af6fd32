# The interop server, UDP port 4433: docker compose up
FROM rust:1-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3-pip && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir --break-system-packages 'maturin>=1.9.4,<2'
WORKDIR /src
COPY . .
RUN maturin build --release --locked --out /wheels

FROM python:3.13-slim-bookworm
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir /wheels/*.whl
USER nobody
EXPOSE 4433/udp
CMD ["webtransport", "interop"]
