// An OpenID provider for tests: `node provider.mjs CONSOLE_ROOT` prints its root and serves.
//
// It is the real library with one client of a secret and PKCE. Who signs in is the `login` that the
// test types; `groups` come from the login itself (`ana+staff+ops`). `POST /test/…` rotates its key.
import http from 'node:http';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { Provider } from 'oidc-provider';

const [, , consoleRoot, logoutPath] = process.argv;
const newKey = () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' };
};
const server = http.createServer();
server.listen(0, '127.0.0.1', () => {
  const root = `http://127.0.0.1:${server.address().port}`;
  let keys = [newKey()];
  const make = () => {
    const provider = new Provider(root, {
      jwks: { keys },
      clients: [{
        client_id: 'rollcall-console',
        client_secret: 'a-secret-of-the-client-that-only-tests-use',
        redirect_uris: [`${consoleRoot}/sign-in/answer`],
        response_types: ['code'],
        grant_types: ['authorization_code'],
        ...(logoutPath ? {
          backchannel_logout_uri: `${consoleRoot}${logoutPath}`,
          backchannel_logout_session_required: true,
        } : {}),
      }],
      cookies: { keys: ['a-key-of-cookies-that-only-tests-use'] },
      claims: { openid: ['sub', 'groups'], email: ['email'], profile: ['name'] },
      conformIdTokenClaims: false,
      features: {
        devInteractions: { enabled: true },
        backchannelLogout: { enabled: true },
        rpInitiatedLogout: { enabled: true },
      },
      pkce: { required: () => true },
      findAccount: (_, id) => ({
        accountId: id,
        claims: () => ({
          sub: id, email: `${id.split('+')[0]}@acme.example`, name: `Ana ${id.split('+')[0]}`,
          groups: id.split('+').slice(1),
        }),
      }),
      ttl: { Session: 600, Grant: 600, Interaction: 600, AccessToken: 600, IdToken: 600, AuthorizationCode: 60 },
      // The console of a test is on loopback, which a provider refuses to call by itself.
      fetch: (url, options) => fetch(url, options),
    });
    provider.on('server_error', (_, error) => console.error(error));
    return provider.callback();
  };
  let serve = make();
  server.on('request', (request, response) => {
    if (request.method === 'POST' && request.url === '/test/rotate') {
      keys = [newKey()];
      serve = make();
      response.end();
      return;
    }
    serve(request, response);
  });
  console.log(root);
});
