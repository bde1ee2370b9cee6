/** `GET /demo/tokens`: the two users of the page, each with a token. See clients/web/README.md. */

export interface DemoUser {
  user: string;
  token: string;
}

export async function demoUsers(): Promise<DemoUser[]> {
  const response = await fetch("/demo/tokens", { cache: "no-store", credentials: "omit" });
  if (!response.ok) throw new Error(`/demo/tokens answered ${response.status}`);
  const body: unknown = await response.json();
  if (!isTokens(body)) throw new Error("/demo/tokens answered something else than {users: [{user, token}]}");
  return body.users;
}

export async function tokenOf(user: string): Promise<string> {
  const found = (await demoUsers()).find((demo) => demo.user === user);
  if (!found) throw new Error(`/demo/tokens has no token of ${user}`);
  return found.token;
}

function isTokens(body: unknown): body is { users: DemoUser[] } {
  if (typeof body !== "object" || body === null || !("users" in body) || !Array.isArray(body.users)) return false;
  return body.users.every((demo: unknown) => {
    if (typeof demo !== "object" || demo === null || !("user" in demo) || !("token" in demo)) return false;
    return typeof demo.user === "string" && typeof demo.token === "string";
  });
}
