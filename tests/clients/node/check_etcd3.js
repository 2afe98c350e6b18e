// The Node client `etcd3`: gRPC with balancing over all members.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { createRequire } = require('node:module');
const { once } = require('node:events');
const { parseArgs } = require('node:util');

// The library is where NODE_LIBRARIES says; Node's own search stops at this directory.
const library = createRequire(`${process.env.NODE_LIBRARIES}/`);
const { Etcd3 } = library('etcd3');

const text = { type: 'string' };
const { values: settings } = parseArgs({
  options: { endpoints: text, cacert: text, cert: text, key: text, user: text, limited: text },
});
const hosts = settings.endpoints.split(',');
const prefix = `checks/${Math.random().toString(16).slice(2, 10)}/`;

function connect(some = hosts, user = settings.user) {
  const options = { hosts: some };
  if (settings.cacert) {
    options.credentials = {
      rootCertificate: fs.readFileSync(settings.cacert),
      privateKey: fs.readFileSync(settings.key),
      certChain: fs.readFileSync(settings.cert),
    };
  }
  if (user) {
    const [username, password] = user.split(':');
    options.auth = { username, password };
  }
  return new Etcd3(options);
}

// One goes to any member, the other to the last only.
const everybody = connect();
const last = connect([hosts[hosts.length - 1]]);
const one = everybody.namespace(prefix);
const two = last.namespace(prefix);

async function eventually(what, attempt) {
  const deadline = Date.now() + 30000;
  while (!(await attempt())) {
    assert(Date.now() < deadline, `${what}: not in time`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// The library's errors have their names in their class only.
function called(name) {
  return (error) => error.constructor.name === name || assert.fail(`${error.stack} is no ${name}`);
}

const checks = {
  async putAndGet() {
    await one.put('a').value('1');
    assert.equal(await two.get('a').string(), '1');
    assert.equal((await one.put('a').value('2').getPrevious()).value.toString(), '1');
    assert.equal(await two.get('nothing'), null);
    assert.equal(await two.get('nothing').exists(), false);
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, at) => at));
    await one.put('bytes').value(bytes);
    assert.deepEqual(await two.get('bytes').buffer(), bytes);
    await one.put('json').value(JSON.stringify({ n: 1 }));
    assert.deepEqual(await two.get('json').json(), { n: 1 });
    const found = await two.get('a').exec();
    assert.equal(found.kvs[0].version, '2');
    assert.equal(await one.get('a').revision(found.kvs[0].create_revision).string(), '1');
  },

  async prefixAndRange() {
    const numbers = Array.from({ length: 25 }, (_, at) => at);
    const key = (number) => `list/${String(number).padStart(2, '0')}`;
    await Promise.all(numbers.map((number) => one.put(key(number)).value(number)));
    const all = await two.getAll().prefix('list/').numbers();
    assert.deepEqual(all, Object.fromEntries(numbers.map((number) => [key(number), number])));
    assert.equal(await two.getAll().prefix('list/').count(), 25);
    const down = await one.getAll().prefix('list/').sort('Key', 'Descend').limit(3).keys();
    assert.deepEqual(down, [key(24), key(23), key(22)]);
    const some = await two.getAll().inRange({ start: key(5), end: key(8) }).strings();
    assert.deepEqual(Object.values(some), ['5', '6', '7']);
  },

  async delete() {
    await one.put('gone').value('x');
    assert.equal((await two.delete().key('gone').exec()).deleted, '1');
    assert.equal((await one.delete().key('gone').exec()).deleted, '0');
    const removed = await one.delete().prefix('list/').getPrevious();
    assert.equal(removed.length, 25);
    assert.equal(await two.getAll().prefix('list/').count(), 0);
  },

  async transactions() {
    await one.put('txn').value('old');
    const done = await two
      .if('txn', 'Value', '==', 'old')
      .and('txn', 'Version', '>', 0)
      .and('absent', 'Create', '==', 0)
      .then(one.put('txn').value('new'), one.get('txn'))
      .else(one.put('txn').value('never'))
      .commit();
    assert.equal(done.succeeded, true);
    assert.equal(done.responses[1].response_range.kvs[0].value.toString(), 'new');
    const failed = await one
      .if('txn', 'Value', '!=', 'new').then(one.delete().key('txn')).else(one.get('txn')).commit();
    assert.equal(failed.succeeded, false);
    assert.equal(failed.responses[0].response_range.kvs[0].value.toString(), 'new');
  },

  async watch() {
    const watcher = await two.watch().prefix('watch/').withPreviousKV().create();
    const seen = [];
    watcher.on('put', (kv, previous) => seen.push(['put', `${kv.value}`, `${previous?.value}`]));
    watcher.on('delete', (kv, previous) => seen.push(['delete', `${previous.value}`]));
    await one.put('watch/a').value('1');
    await one.put('watch/a').value('2');
    await one.delete().key('watch/a');
    await eventually('three events', () => seen.length === 3);
    assert.equal(seen[0][1], '1');
    assert.deepEqual(seen.slice(1), [['put', '2', '1'], ['delete', '2']]);
    await watcher.cancel();
    const written = await one.put('watch/b').value('x');
    await one.put('watch/b').value('y');
    const past = await one.watch().key('watch/b').startRevision(written.header.revision).create();
    const values = [];
    past.on('put', (kv) => values.push(kv.value.toString()));
    await eventually('past events', () => values.length === 2);
    assert.deepEqual(values, ['x', 'y']);
    await past.cancel();
    const deletes = await two.watch().key('watch/b').only('delete').create();
    const gone = once(deletes, 'delete');
    await one.put('watch/b').value('z');
    await one.delete().key('watch/b');
    await gone;
    await deletes.cancel();
  },

  async leases() {
    const lease = one.lease(60);
    await lease.put('leased').value('x');
    const id = await lease.grant();
    const left = await everybody.leaseClient.leaseTimeToLive({ ID: id, keys: true });
    assert.equal(left.grantedTTL, '60');
    assert.deepEqual(left.keys.map(String), [`${prefix}leased`]);
    assert.equal((await lease.keepaliveOnce()).TTL, '60');
    const all = await last.leaseClient.leaseLeases();
    assert(all.leases.some((known) => known.ID === id));
    await lease.revoke();
    assert.equal(await two.get('leased'), null);
    const short = one.lease(5, { autoKeepAlive: false });
    await short.put('short').value('x');
    await eventually('the end of a lease', async () => (await two.get('short')) === null);
    await assert.rejects(one.put('x').value('x').lease(id), /requested lease not found/);
  },

  async locks() {
    const held = await one.lock('lock').ttl(30).acquire();
    await assert.rejects(two.lock('lock').ttl(30).acquire(), called('EtcdLockFailedError'));
    await held.release();
    assert.equal(await two.lock('lock').ttl(30).do(() => 'inside'), 'inside');
  },

  async elections() {
    const first = one.election('boss', 10).campaign('first');
    await first.wait();
    const second = two.election('boss', 10).campaign('second');
    const elected = second.wait();
    const observer = await two.election('boss').observe();
    await eventually('a leader', () => observer.leader() === 'first');
    await first.proclaim('still first');
    await eventually('a proclamation', () => observer.leader() === 'still first');
    await first.resign();
    await elected;
    assert.equal(await one.election('boss').leader(), 'second');
    await observer.cancel();
    await second.resign();
  },

  async membersAndMaintenance() {
    const { members } = await everybody.cluster.memberList({});
    assert.equal(members.length, hosts.length);
    const status = await last.maintenance.status();
    assert(members.some((member) => member.ID === status.leader));
    assert.match(status.version, /^3\./);
    assert.deepEqual((await everybody.maintenance.alarm({ action: 'Get', alarm: 'None' })).alarms, []);
    if (!settings.user) {
      // The library forgets its token here.
      const parts = await last.maintenance.snapshot();
      let size = 0;
      parts.on('data', (part) => { size += part.blob.length; });
      await once(parts, 'end');
      assert(size > 4096, `a snapshot of ${size} bytes`);
    }
    await last.maintenance.defragment();
  },

  async compaction() {
    const before = (await one.put('old').value('1')).header.revision;
    const now = (await one.put('old').value('2')).header.revision;
    await everybody.kv.compact({ revision: now, physical: true });
    await assert.rejects(one.get('old').revision(before).exec(), /required revision has been compacted/);
    assert.equal(await two.get('old').string(), '2');
  },

  async badRequests() {
    await assert.rejects(everybody.put('').value('x').exec(), /key is not provided/);
    await assert.rejects(one.put('big').value('x'.repeat(1600000)).exec(), /request is too large/);
    await assert.rejects(everybody.kv.txn({
      success: [1, 2].map(() => ({ request_put: { key: Buffer.from(prefix), value: Buffer.from('x') } })),
    }), /duplicate key given in txn request/);
  },
};

// As somebody with the role root, while users are asked for.
const withUsers = {
  async usersAndRoles() {
    const name = prefix.replaceAll('/', '-');
    const role = everybody.role(`role${name}`);
    await role.create();
    await assert.rejects(role.create(), called('EtcdRoleExistsError'));
    await role.grant({ permission: 'Read', range: everybody.range({ prefix: `${prefix}theirs/` }) });
    const user = everybody.user(`user${name}`);
    await user.create('secret');
    await assert.rejects(user.create('secret'), called('EtcdUserExistsError'));
    await user.addRole(role);
    assert.deepEqual((await user.roles()).map((has) => has.name), [`role${name}`]);
    assert.equal((await role.permissions())[0].permission, 'Read');
    await one.put('theirs/a').value('x');
    const theirs = connect(hosts, `user${name}:secret`).namespace(prefix);
    assert.equal(await theirs.get('theirs/a').string(), 'x');
    await assert.rejects(theirs.put('theirs/a').value('y').exec(), called('EtcdPermissionDeniedError'));
    await user.setPassword('other');
    await assert.rejects(connect(hosts, `user${name}:secret`).get('a').exec(), called('EtcdAuthenticationFailedError'));
    await user.removeRole(role);
    await user.delete();
    await role.delete();
    await assert.rejects(role.permissions(), called('EtcdRoleNotFoundError'));
  },

  async permissions() {
    const limited = connect(hosts, settings.limited);
    await limited.put('limited/a').value('mine');
    assert.equal(await limited.get('limited/a').string(), 'mine');
    await assert.rejects(limited.get('other').exec(), called('EtcdPermissionDeniedError'));
    await assert.rejects(limited.getAll().all().exec(), called('EtcdPermissionDeniedError'));
    const watcher = await limited.watch().prefix('limited/').create();
    const heard = once(watcher, 'put');
    await everybody.put('limited/a').value('changed');
    assert.equal((await heard)[0].value.toString(), 'changed');
    await watcher.cancel();
    if (!settings.cert) {
      const nobody = connect(hosts, null);
      await assert.rejects(nobody.get('limited/a').exec(), /user name is empty/);
    }
  },
};

async function main() {
  let failed = 0;
  for (const [name, check] of Object.entries({ ...checks, ...(settings.user ? withUsers : {}) })) {
    const began = Date.now();
    try {
      await check();
      console.log(`ok      ${name.padEnd(40)} ${Date.now() - began} ms`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${name.padEnd(40)} ${Date.now() - began} ms`, error);
    }
  }
  console.log(failed ? `${failed} failed` : 'all checks hold');
  process.exit(failed ? 1 : 0);
}

main();
