import { describe, expect, it } from "vitest";
import { engineAddresses } from "../../../src/environment/container-engine.ts";

describe("where a container engine is looked for", () => {
  const addresses = (DOCKER_HOST?: string) => engineAddresses({ DOCKER_HOST }, "/home/ann", 1000);

  it("is the usual sockets when nothing is said", () => {
    expect(addresses()).toEqual([
      { path: "/var/run/docker.sock" },
      { path: "/home/ann/.docker/run/docker.sock" },
      { path: "/run/user/1000/docker.sock" },
      { path: "/home/ann/.docker/desktop/docker.sock" },
    ]);
    expect(addresses("")).toHaveLength(4);
  });

  it.each([
    ["unix:///run/podman/podman.sock", { path: "/run/podman/podman.sock" }],
    ["tcp://engine.test:2375", { host: "engine.test", port: 2375 }],
    ["tcp://10.0.0.5", { host: "10.0.0.5", port: 2375 }],
    ["http://[::1]:4000", { host: "::1", port: 4000 }],
    ["http://engine.test:80", { host: "engine.test", port: 80 }],
    ["https://engine.test", { host: "engine.test", port: 2376 }],
  ])("is only %s when DOCKER_HOST says so", (given, expected) => {
    expect(addresses(given)).toEqual([expected]);
  });

  it.each(["ssh://ann@engine.test", "npipe:////./pipe/docker_engine", "nonsense"])(
    "is nowhere for %s",
    (given) => {
      expect(addresses(given)).toEqual([]);
    },
  );
});
