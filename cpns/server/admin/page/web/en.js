// Every word that the page says, in English. A language is a file like this one with the
// same names; what it lacks is said in English. {x} is filled in.
export default {
  name: 'English',
  title: 'CPNS Server', skip: 'To the content',

  // Login
  login: 'Log in', logout: 'Log out', token: 'Token', tokenHint: 'Made on the server: cpns-server token add. A client certificate of this browser needs no token.',
  tokenWrong: 'This token does not hold: it is mistyped, has ended, or was removed.',
  over: 'You have been logged out: nothing was done here for 30 minutes, or your token has ended. What was begun has been done or not, as the audit log shows.',
  offline: 'No connection', offlineLong: 'No connection to the server. What was asked for is asked again, and done once.',
  noAddress: 'A name that is a dot or two is in an address that no browser can send: cpns-server does it, on the command line.',

  // Parts
  gateways: 'Gateways', devices: 'Devices', users: 'Users', audit: 'Audit', more: 'More', codes: 'Enrolment codes',

  // Lists
  firstOf: 'The first {n}. Narrow it down, or show more.', allOf: '{n} in all', noneYet: 'None so far: there is more to look through.', moreRows: 'Show more', search: 'Search: ID begins with', startsWith: 'ID begins with', any: 'Any', state: 'State',
  error: 'That did not work: {why}', needed: 'Please fill in: {what}', cancel: 'Cancel', close: 'Close', remove: 'Remove', removed: '{id} is removed.', mayNot: 'Your role may look, and not change anything.',
  select: 'Select {id}', added: 'Added', never: 'never',

  // Gateways
  pending: 'Waiting for approval', pendingNone: 'No gateway waits.', known: 'Known gateways', gatewaysNone: 'No gateway fits.',
  unnamed: 'No name given', model: 'Model', serial: 'Serial number', macs: 'MAC addresses', from: 'Comes from', code: 'Code', was: 'Was before', asked: 'Asked last',
  approve: 'Approve', approveTitle: 'Approve {f}', gatewayID: 'Gateway ID', wants: 'It wants to be called {id}.', wantsNothing: 'It says no name of its own: give it one.', replace: 'It takes the place of the known gateway',
  approved: '{id} is approved: it is served once it asks again.', approveMany: 'Approve {n} gateways', approveManyWhat: 'Compare each fingerprint with what its router shows (pngw status):', approving: 'Approving {n} of {all} …', approvedMany: '{n} of {all} approved',
  refuse: 'Refuse', refuseWhat: 'The gateway {f} is told so, and stops asking.', refused: '{f} is refused.',
  seenAt: 'seen {when}', notSeen: 'not yet', fingerprint: 'Fingerprint', impi: 'IMPI', psk1s: 'Keys to this server', itsDevices: 'Devices',
  gatewayRemove: 'Remove {id}?', gatewayRemoveWhat: 'Its next request is refused. What was assigned through it stays.',

  // Codes
  codesNone: 'No code has been given out.', code_open: 'Open', code_used: 'Used up', code_ended: 'Ended', codeID: 'Number', uses: 'Used', usesOf: '{used} of {uses}', until: 'Until',
  codeNew: 'New code', codeMake: 'Make the code', codeGateway: 'Gateway ID', codeGatewayHint: 'What the gateway will be called. Empty: it names itself.', codeUses: 'For how many gateways', codeValid: 'Valid for',
  codeOnce: 'This code takes a gateway in without another question. It is shown once: print it, scan it, or copy it now.', codeHow: 'On the router: pngw enrol CODE', qr: 'QR code of the enrolment code',
  revoke: 'End it', revokeWhat: 'Nobody else comes in by this code.', revoked: 'The code is ended.', hour1: 'One hour', day1: 'One day', day7: 'A week', day30: '30 days', day90: '90 days', day365: 'A year', ever: 'All times',

  // Devices
  devicesNone: 'No device fits.', pne_free: 'Nobody’s', pne_owned: 'Has an owner', pne_assigned: 'Has keys', owner: 'Owner', nobody: 'nobody', epoch: 'Epoch', gateway: 'Gateway', assigned: 'Last assigned', device: 'Device',
  release: 'Release {id}?', releaseWhat: 'It stops being {owner}’s, and the keys that it was assigned are erased here. The next user who asks becomes its owner.', releaseYes: 'Release', released: '{id} is nobody’s now.',
  give: 'Give to', giveTitle: 'Give {id} to another user', giveHint: 'The keys of the owner before are erased here.', given: '{id} is {owner}’s now.',
  pneRemove: 'Remove {id}?', pneRemoveWhat: 'Its Temporary Key and its keys are erased here. It can be imported again.',

  // Import
  importTitle: 'Import devices', importFile: 'File', importHint: 'A CSV file with the columns entity_id and tk, the Temporary Key as hex, and if you like owner, the only user who gets the device. A file that broke off may be sent again: what is known already is left as it is.', importGo: 'Import', importBig: 'That file is too big for the page: cpns-server pne import takes any.', importNow: '{done} of {n} lines', importNothing: 'There was nothing in it.', importDone: '{imported} added, {there} known already, {bad} refused', importColumns: 'The first line does not name the columns entity_id and tk.', importMore: 'And {n} more lines.',
  row: 'Line', verdict: 'Verdict',

  // Users
  usersNone: 'No user fits.', user_enabled: 'Enabled', user_locked: 'Locked', user_disabled: 'Disabled', seen: 'Last seen', locks: 'Locked out', lockAt: 'at {gateway} until {until}', slowed: 'Slowed', slowedWhat: 'failed at several gateways: each request waits', user: 'User', userID: 'User ID', password: 'Password',
  unlock: 'Unlock', unlockDone: '{id} is unlocked.', enable: 'Enable', enableDone: '{id} is enabled.', disable: 'Disable', disableQ: 'Disable {id}?', disableWhat: 'Requests of this user are refused, as if there were no such user. Devices keep working.', disableDone: '{id} is disabled.',
  passwordNew: 'New password', passwordTitle: 'New password of {id}', passwordDone: 'The password of {id} is changed.', userRemove: 'Remove', userRemoveQ: 'Remove {id}?', userRemoveWhat: 'Only a user who owns no device can be removed.', userRemoveDone: '{id} is removed.', userAdd: 'Add a user', userAdded: '{id} is added.',

  // Audit
  auditNone: 'Nothing happened, or nothing that fits.', since: 'Since', source: 'By', detail: 'Detail',

  // More
  health: 'Health', health_good: 'Good', health_warning: 'Look at it', health_bad: 'Bad', check_store: 'Store', check_certificate: 'Certificate', check_replicas: 'Servers', check_clock: 'Clock', check_pending: 'Gateways that wait',
  tokens: 'Who may use this', tokensNone: 'Nobody.', tokenNew: 'New token', tokenMake: 'Make the token', tokenName: 'The audit log shows it.', tokenOnce: 'This is the token. It is shown once: copy it now.', tokenRemove: 'Remove {id}?', tokenRemoveWhat: 'It is refused from now on.',
  called: 'Name', kind: 'By', kind_token: 'token', kind_certificate: 'certificate', role: 'Role', role_auditor: 'auditor', role_operator: 'operator', role_admin: 'admin', used: 'Last used', version: 'Version', thisPage: 'You, and this page',
  language: 'Language', look2: 'Colours', auto: 'As the device', light: 'Light', dark: 'Dark',
};
