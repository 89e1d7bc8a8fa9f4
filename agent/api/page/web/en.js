// Every word that the page says, in English. A language is a file like this one with the
// same names; what it lacks is said in English. {x} is filled in.
export default {
  name: 'English',
  title: 'Gateway {gw}', noName: 'without a name yet',
  skip: 'To the content',

  // Login
  login: 'Log in', pin: 'PIN', pinHint: 'The technicians’ PIN of this gateway.', checking: 'Checking …',
  pinWrong: 'That is not the PIN. Please try again.',
  pinWait: 'Too many wrong PINs. The next try is possible in {time}.',
  pinNone: 'No PIN is set yet, so nobody can log in. On the router: pngw web set-pin',
  over: 'You have been logged out: nothing was done here for 30 minutes, or the gateway began anew. What was begun goes on. Please log in again.',
  caWhy: 'Did the browser warn about the certificate? Compare its SHA-256 fingerprint with what pngw status shows on the router, or have the phone trust this gateway:',
  caGet: 'Get the certificate',
  logout: 'Log out',

  // Connection
  online: 'Connected', offline: 'No connection', offlineLong: 'No connection to the gateway. Trying again. What was begun goes on without this phone.',

  // Parts
  home: 'Add', devices: 'Devices', links: 'Links', more: 'More',

  // Home
  found: 'Devices that say hello', foundNone: 'None at the moment. Is the device switched on and connected? It says hello within seconds. It can be added by its label, too.',
  foundOn: 'on {link}', foundHeld: 'had a key of another gateway or time',
  take: 'Add', takeAs: 'Devices are added for {user}', addTitle: 'Add a device', another: 'Another user',
  scan: 'Scan a label', type: 'Type it in', table: 'A table (CSV)',
  all: 'Select several', allTake: 'Add {n} devices', select: 'Select {id}', done: 'Done', cancel: 'Cancel', close: 'Close',

  // Adding devices
  device: 'Device', deviceHint: 'The Entity ID on the label, or the text below its code: CPNS:1:…',
  user: 'User', userHint: 'Who owns the device.', password: 'Password', passwordHint: 'This user’s at the server. It does not leave this phone.', show: 'Show', hide: 'Hide',
  hashing: 'Making the proof of the password …', asking: 'Asking the gateway …',
  needDevice: 'Which device?', needUser: 'Which user?', needPassword: 'Please type the password.',
  mistyped: 'This label is mistyped: its last two characters do not fit the rest. Compare it with the label.',
  meant: 'Did you mean:', use: 'Use {id}',
  has: 'This device has its keys already.', hasWhat: 'New keys replace them as soon as the device takes the first. Only do this if it lost its keys for good, or shall belong to another user.', hasAgain: 'New keys',
  busy: 'Somebody is adding this device right now. You can follow it on this page.',
  jobs: 'Too many jobs are under way. Wait until one has ended.',

  // Jobs
  jobFor: 'For {user}', jobOne: '{id}', jobMany: '{n} devices for {user}', jobDone: '{done} of {n} delivered', jobLost: 'Begun before the gateway began anew',
  clock_wait: 'Waiting for the time: the router’s clock is not set',
  psk1_wait: 'Waiting for the key between gateway and server',
  request_sent: 'Request sent to the server', user_accepted: 'User accepted', keys_checked: '{keys} keys received and checked', sealed: 'Sealed in the gateway',
  waiting: 'Waiting for the device', device_refused: 'The device said no', delivered: 'Delivered: the device has proved its key', failed: 'Failed',
  begun: 'Begun',
  r_delivered: 'Delivered', r_assigned: 'Waits for its device', r_refused: 'Refused', r_unreachable: 'No server', r_failed: 'Failed', r_good: 'Ready', r_already: 'Has its key', r_bad: 'Bad row', r_duplicate: 'Twice', r_unasked: 'Not asked', r_running: 'Under way',
  a_assigned: 'The keys are in the gateway. The device gets its first one when it says hello: switch it on, and check its cable. Nothing else is to do.',
  a_unreachable: 'The server could not be asked. Try again when the connection is back: nothing is done twice.',
  a_1: 'The server does not know this user with this password. Check both, and try again. Ten wrong ones lock the user.',
  a_2: 'The clocks of router and server differ by more than 5 minutes. Let the router reach a time server.',
  a_3: 'The server does not know this device. Compare the label; the server’s operator adds devices.',
  a_4: 'The device belongs to somebody else, or the server wants it to be heard first. Switch it on and try again; else its owner or the server’s operator must release it.',
  a_5: 'Too many wrong passwords: the user is locked for now. The password was not looked at.',
  a_failed: 'See the detail below.', a_lostWait: 'The keys are sealed in the gateway. The device gets its first one when it says hello.', a_lostAsk: 'The server had not answered yet. Add the device again: nothing is done twice.',
  retry: 'Try again', detail: 'Detail', gone: 'Dismiss', moreFound: 'Show {n} more',

  // Problems and alarms
  alarm: 'Alarm: {id}', alarmWhat: 'The device shows an older key than it had: it was set back to an old state, or there is a copy of it. It gets no key until a person decides.',
  alarmDo: 'Look at the device. Is it the real one, alone, and was it repaired or reset? Then let it in again. If you are not sure that no copy is about, give it new keys: a copy has no use of its old ones then.',
  readmit: 'Let it in again', renew: 'New keys', readmitted: '{id} is let in again: it gets its next key at its next hello.',
  p_unnamed: 'This gateway is not enrolled yet: it has no name at a server. Its operator has a code for that: pngw enrol CODE',
  p_clock: 'The router’s clock is not set. Requests wait until it has reached a time server.',
  p_psk: 'There is no key between gateway and server yet. Requests wait.',
  p_links: 'No link to devices is up. Check cable and plug; see Links.', p_nolinks: 'No link to devices is set up: the router’s owner does that.',
  p_store: 'The gateway cannot write its keys to its memory. No device can be added until it can.',
  p_fault: 'A record in the gateway’s store does not open. The router’s owner should look at pngw status.',

  // Devices
  search: 'Search', searchHint: 'Entity ID, user or link', count: '{n} of {all}', moreRows: 'Show {n} more', noneFit: 'No device fits.', noDevices: 'No device has been added yet.',
  f_all: 'All', s_requested: 'Requested', s_assigned: 'Waits for its key', s_delivered: 'Has its key', s_used_up: 'Keys used up', s_alarm: 'Alarm',
  key: 'Key', keyOf: '{index} of {length}, set {epoch}', owner: 'User', link: 'Link', seen: 'Last heard', never: 'not since the gateway’s start', note: 'Note', state: 'State',

  // Links
  up: 'Up', absent: 'Not there', received: 'received', sent: 'sent', dropped: 'dropped', gateway: 'Gateway', server: 'Server', version: 'Version', psk: 'Key to the server', pskGood: 'good until {until}', pskFile: 'from a file',
  clock: 'Clock', clockSet: 'set', clockNot: 'not set', counters: '{received} received, {sent} sent, {dropped} dropped', none: 'none', yes: 'there', ca: 'CA fingerprint (SHA-256)',

  // Table
  tableTitle: 'Add devices from a table', tableHint: 'A CSV file whose first line names the columns: entity_id, and if you like user, label, location. At most {n} rows.', file: 'File', tableUser: 'User of rows that name none', look: 'Look at it',
  tableBig: 'That file is too big for the page: at most {n} rows and 256 KiB. Longer tables: pngw provision --csv on the router.',
  rows: '{n} rows', startRows: 'Add {n} devices', row: 'Row', verdict: 'Verdict', passwordOf: 'Password of {user}', nothing: 'No row can be added.', problems: 'Only what did not go well', progress: '{done} of {n} rows',

  // Camera
  camera: 'Hold the label in front of the camera', cameraNo: 'The camera cannot be used: {why}. Type the text below the code instead.', cameraDenied: 'the browser was not allowed to', cameraNone: 'there is none', reading: 'Reading …',

  // More
  language: 'Language', look2: 'Colours', auto: 'As the phone', light: 'Light', dark: 'Dark',
  error: 'That did not work: {why}', seconds: '{n} s', minutes: '{n} min',
};
