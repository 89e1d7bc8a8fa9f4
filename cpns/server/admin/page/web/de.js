// Every word that the page says, in German: see en.js.
export default {
  name: 'Deutsch',
  title: 'CPNS-Server', skip: 'Zum Inhalt',

  login: 'Anmelden', logout: 'Abmelden', token: 'Token', tokenHint: 'Auf dem Server gemacht: cpns-server token add. Mit einem Zertifikat in diesem Browser braucht es keines.',
  tokenWrong: 'Dieses Token gilt nicht: Es ist vertippt, abgelaufen oder entfernt.',
  over: 'Du wurdest abgemeldet: 30 Minuten lang ist hier nichts geschehen, oder dein Token ist abgelaufen. Was begonnen war, ist getan oder nicht, wie das Protokoll zeigt.',
  offline: 'Keine Verbindung', offlineLong: 'Keine Verbindung zum Server. Worum gebeten war, wird noch einmal gebeten, und einmal getan.',
  noAddress: 'Ein Name aus einem oder zwei Punkten steht in einer Adresse, die kein Browser senden kann: cpns-server tut es auf der Kommandozeile.',

  gateways: 'Gateways', devices: 'Geräte', users: 'Benutzer', audit: 'Protokoll', more: 'Mehr', codes: 'Anmeldecodes',

  firstOf: 'Die ersten {n}. Grenze sie ein, oder zeig mehr.', allOf: '{n} insgesamt', noneYet: 'Bisher keine: Es gibt noch mehr durchzusehen.', moreRows: 'Mehr zeigen', search: 'Suche: ID beginnt mit', startsWith: 'ID beginnt mit', any: 'Alle', state: 'Zustand',
  error: 'Das ging nicht: {why}', needed: 'Bitte ausfüllen: {what}', cancel: 'Abbrechen', close: 'Schließen', remove: 'Entfernen', removed: '{id} ist entfernt.', mayNot: 'Deine Rolle darf ansehen und nichts ändern.',
  select: '{id} wählen', added: 'Seit', never: 'nie',

  pending: 'Warten auf Freigabe', pendingNone: 'Kein Gateway wartet.', known: 'Bekannte Gateways', gatewaysNone: 'Kein Gateway passt.',
  unnamed: 'Ohne Namen', model: 'Modell', serial: 'Seriennummer', macs: 'MAC-Adressen', from: 'Kommt von', code: 'Code', was: 'War vorher', asked: 'Fragte zuletzt',
  approve: 'Freigeben', approveTitle: '{f} freigeben', gatewayID: 'Gateway-ID', wants: 'Es möchte {id} heißen.', wantsNothing: 'Es nennt keinen Namen: Gib ihm einen.', replace: 'Es tritt an die Stelle des bekannten Gateways',
  approved: '{id} ist freigegeben: Es wird bedient, sobald es wieder fragt.', approveMany: '{n} Gateways freigeben', approveManyWhat: 'Vergleiche jeden Fingerabdruck mit dem, den sein Router zeigt (pngw status):', approving: '{n} von {all} wird freigegeben …', approvedMany: '{n} von {all} freigegeben',
  refuse: 'Ablehnen', refuseWhat: 'Dem Gateway {f} wird das gesagt, und es fragt nicht mehr.', refused: '{f} ist abgelehnt.',
  seenAt: 'gesehen {when}', notSeen: 'noch nicht', fingerprint: 'Fingerabdruck', impi: 'IMPI', psk1s: 'Schlüssel zu diesem Server', itsDevices: 'Geräte',
  gatewayRemove: '{id} entfernen?', gatewayRemoveWhat: 'Seine nächste Anfrage wird abgelehnt. Was darüber zugewiesen wurde, bleibt.',

  codesNone: 'Kein Code ist ausgegeben.', code_open: 'Offen', code_used: 'Verbraucht', code_ended: 'Abgelaufen', codeID: 'Nummer', uses: 'Benutzt', usesOf: '{used} von {uses}', until: 'Bis',
  codeNew: 'Neuer Code', codeMake: 'Code machen', codeGateway: 'Gateway-ID', codeGatewayHint: 'Wie das Gateway heißen wird. Leer: Es nennt sich selbst.', codeUses: 'Für wie viele Gateways', codeValid: 'Gilt',
  codeOnce: 'Dieser Code lässt ein Gateway ohne weitere Frage herein. Er wird einmal gezeigt: jetzt drucken, scannen oder abschreiben.', codeHow: 'Auf dem Router: pngw enrol CODE', qr: 'QR-Code des Anmeldecodes',
  revoke: 'Beenden', revokeWhat: 'Niemand kommt mehr mit diesem Code herein.', revoked: 'Der Code ist beendet.', hour1: 'Eine Stunde', day1: 'Ein Tag', day7: 'Eine Woche', day30: '30 Tage', day90: '90 Tage', day365: 'Ein Jahr', ever: 'Alle Zeiten',

  devicesNone: 'Kein Gerät passt.', pne_free: 'Niemandes', pne_owned: 'Hat einen Besitzer', pne_assigned: 'Hat Schlüssel', owner: 'Besitzer', nobody: 'niemand', epoch: 'Epoche', gateway: 'Gateway', assigned: 'Zuletzt zugewiesen', device: 'Gerät',
  release: '{id} freigeben?', releaseWhat: 'Es gehört {owner} nicht mehr, und die zugewiesenen Schlüssel werden hier gelöscht. Wer als Nächstes darum bittet, dem gehört es.', releaseYes: 'Freigeben', released: '{id} gehört jetzt niemandem.',
  give: 'Übergeben', giveTitle: '{id} einem anderen Benutzer geben', giveHint: 'Die Schlüssel des bisherigen Besitzers werden hier gelöscht.', given: '{id} gehört jetzt {owner}.',
  pneRemove: '{id} entfernen?', pneRemoveWhat: 'Sein Temporary Key und seine Schlüssel werden hier gelöscht. Es kann wieder importiert werden.',

  importTitle: 'Geräte importieren', importFile: 'Datei', importHint: 'Eine CSV-Datei mit den Spalten entity_id und tk, dem Temporary Key als Hex, und wenn du magst owner, dem einzigen Benutzer, der das Gerät bekommt. Eine Datei, die abbrach, darf noch einmal gesendet werden: Was bekannt ist, bleibt, wie es ist.', importGo: 'Importieren', importBig: 'Die Datei ist zu groß für die Seite: cpns-server pne import nimmt jede.', importNow: '{done} von {n} Zeilen', importNothing: 'Es stand nichts darin.', importDone: '{imported} aufgenommen, {there} schon bekannt, {bad} abgelehnt', importColumns: 'Die erste Zeile nennt die Spalten entity_id und tk nicht.', importMore: 'Und {n} weitere Zeilen.',
  row: 'Zeile', verdict: 'Urteil',

  usersNone: 'Kein Benutzer passt.', user_enabled: 'Aktiv', user_locked: 'Gesperrt', user_disabled: 'Abgeschaltet', seen: 'Zuletzt gesehen', locks: 'Gesperrt', lockAt: 'an {gateway} bis {until}', slowed: 'Gebremst', slowedWhat: 'scheiterte an mehreren Gateways: Jede Anfrage wartet', user: 'Benutzer', userID: 'Benutzer-ID', password: 'Passwort',
  unlock: 'Entsperren', unlockDone: '{id} ist entsperrt.', enable: 'Einschalten', enableDone: '{id} ist eingeschaltet.', disable: 'Abschalten', disableQ: '{id} abschalten?', disableWhat: 'Anfragen dieses Benutzers werden abgelehnt, als gäbe es ihn nicht. Geräte gehen weiter.', disableDone: '{id} ist abgeschaltet.',
  passwordNew: 'Neues Passwort', passwordTitle: 'Neues Passwort von {id}', passwordDone: 'Das Passwort von {id} ist geändert.', userRemove: 'Entfernen', userRemoveQ: '{id} entfernen?', userRemoveWhat: 'Nur ein Benutzer, dem kein Gerät gehört, lässt sich entfernen.', userRemoveDone: '{id} ist entfernt.', userAdd: 'Benutzer anlegen', userAdded: '{id} ist angelegt.',

  auditNone: 'Es ist nichts geschehen, oder nichts, was passt.', since: 'Seit', source: 'Durch', detail: 'Genaueres',

  health: 'Zustand des Servers', health_good: 'Gut', health_warning: 'Ansehen', health_bad: 'Schlecht', check_store: 'Speicher', check_certificate: 'Zertifikat', check_replicas: 'Server', check_clock: 'Uhr', check_pending: 'Wartende Gateways',
  tokens: 'Wer dies benutzen darf', tokensNone: 'Niemand.', tokenNew: 'Neues Token', tokenMake: 'Token machen', tokenName: 'Das Protokoll zeigt ihn.', tokenOnce: 'Das ist das Token. Es wird einmal gezeigt: jetzt abschreiben.', tokenRemove: '{id} entfernen?', tokenRemoveWhat: 'Es wird von jetzt an abgelehnt.',
  called: 'Name', kind: 'Mit', kind_token: 'Token', kind_certificate: 'Zertifikat', role: 'Rolle', role_auditor: 'Prüfer', role_operator: 'Betreiber', role_admin: 'Verwalter', used: 'Zuletzt benutzt', version: 'Version', thisPage: 'Du, und diese Seite',
  language: 'Sprache', look2: 'Farben', auto: 'Wie das Gerät', light: 'Hell', dark: 'Dunkel',
};
