  // What reader.js and publisher.js have in common. The server inserts it into both, so
  // that each of them works alone.

  /** Milliseconds before another try. */
  const retryPause = 2000;

  /** Milliseconds before another try after credentials were refused: servers slow down who guesses. */
  const refusedPause = 30000;

  /** Milliseconds that connecting may take, from the first request on. */
  const connectTimeout = 20000;

  /** Milliseconds that a connection may be without an answer of the other side. */
  const silenceTimeout = 5000;

  /** Milliseconds during which ICE candidates are collected before they are sent together. */
  const candidatePause = 20;

  /**
   * What went wrong, in words for the user.
   * - status is the HTTP status of the answer of the server, 0 if there was none.
   * - final says that another try is of no use.
   */
  class Failure extends Error {
    constructor(message, { status = 0, final = false } = {}) {
      super(message);
      this.status = status;
      this.final = final;
    }

    get pause() {
      return this.status === 401 || this.status === 403 ? refusedPause : retryPause;
    }
  }

  const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

  /**
   * SDP is a session description, taken apart into a head and media sections
   * (RFC 8866), each a list of lines.
   */
  class SDP {
    constructor(text) {
      const parts = text.split(/\r?\n(?=m=)/).map((part) => part.split(/\r?\n/).filter((line) => line !== ''));
      this.head = parts[0];
      this.media = parts.slice(1);
    }

    toString() {
      return [this.head, ...this.media].flat().map((line) => line + '\r\n').join('');
    }

    /** The value of the first line that begins so, in a section or before all of them. */
    value(section, prefix) {
      const line = [...section, ...this.head].find((l) => l.startsWith(prefix));
      return line === undefined ? '' : line.slice(prefix.length);
    }

    /** Sections of a kind: "audio", "video". */
    ofKind(kind) {
      return this.media.filter((section) => section[0].startsWith('m=' + kind + ' '));
    }

    /** Payload types of a codec in a section, such as "opus/48000/2". */
    payloadTypes(section, codec) {
      return section.map((line) => /^a=rtpmap:(\d+) (.+)$/.exec(line))
        .filter((m) => m !== null && m[2].toLowerCase() === codec.toLowerCase()).map((m) => m[1]);
    }

    /** Sets parameters of a payload type (a=fmtp), in place of those of the same names. */
    setParameters(section, payloadType, parameters) {
      const prefix = 'a=fmtp:' + payloadType + ' ';
      const at = section.findIndex((line) => line.startsWith(prefix));
      const all = new Map();
      for (const p of at < 0 ? [] : section[at].slice(prefix.length).split(';')) {
        all.set(p.trim().split('=')[0], p.trim());
      }
      for (const [name, value] of Object.entries(parameters)) {
        all.set(name, name + '=' + value);
      }
      const line = prefix + [...all.values()].join(';');
      if (at >= 0) {
        section[at] = line;
      } else {
        section.splice(section.findIndex((l) => l.startsWith('a=rtpmap:' + payloadType + ' ')) + 1, 0, line);
      }
    }

    /** Asks for retransmission of lost packets of a payload type. */
    addNack(section, payloadType) {
      const line = 'a=rtcp-fb:' + payloadType + ' nack';
      if (!section.includes(line)) {
        section.splice(section.findIndex((l) => l.startsWith('a=rtpmap:' + payloadType + ' ')) + 1, 0, line);
      }
    }
  }

  /** ICE servers of Link headers (RFC 9725 section 4.6), as RTCPeerConnection takes them. */
  const parseLinks = (header) => {
    const servers = [];
    for (const [, url, rest] of (header ?? '').matchAll(/<([^>]*)>((?:\s*;\s*[\w-]+\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s",;]*))*)/g)) {
      const params = {};
      for (const [, name, quoted, plain] of rest.matchAll(/;\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",;]*))/g)) {
        params[name.toLowerCase()] = quoted === undefined ? plain : quoted.replace(/\\(.)/g, '$1');
      }
      if (params.rel === 'ice-server') {
        servers.push(params.username === undefined ? { urls: [url] } :
          { urls: [url], username: params.username, credential: params.credential ?? '' });
      }
    }
    return servers;
  };

  /** A text in UTF-8 and base64, for Basic credentials. */
  const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

  /** The HTTP side of one session: RFC 9725, and its draft sibling WHEP. */
  class Signaling {
    #endpoint;
    #authorization;
    #explain;
    #signal;
    #session = null; // URL
    #etag = null;
    #offer = null;
    #queue = []; // candidates to be sent
    #sending = false;

    /**
     * explain maps a status to what it means here. Requests end when signal is
     * aborted.
     */
    constructor({ url, user = '', pass = '', token = '' }, explain, signal) {
      this.#endpoint = new URL(url, globalThis.location?.href);
      // fetch refuses URLs with credentials
      const [urlUser, urlPass] = [this.#endpoint.username, this.#endpoint.password].map(decodeURIComponent);
      this.#endpoint.username = this.#endpoint.password = '';
      if (token !== '') {
        this.#authorization = 'Bearer ' + token;
      } else if (user !== '' || urlUser !== '') {
        this.#authorization = 'Basic ' + base64(user !== '' ? user + ':' + pass : urlUser + ':' + urlPass);
      }
      this.#explain = explain;
      this.#signal = signal;
    }

    async #request(url, method, headers = {}, body = undefined) {
      if (this.#authorization !== undefined) {
        headers['Authorization'] = this.#authorization;
      }
      try {
        return await fetch(url, { method, headers, body, signal: this.#signal });
      } catch (err) {
        if (this.#signal.aborted) {
          throw err;
        }
        throw new Failure('the server cannot be reached');
      }
    }

    /** Turns an answer that is not good into what the user is told. */
    async #failure(res) {
      let detail = '';
      try {
        const text = await res.text();
        detail = (res.headers.get('Content-Type') ?? '').includes('json') ? JSON.parse(text).error : text;
      } catch {
        // the status has to do
      }
      const about = this.#explain[res.status] ?? 'the server answered with status ' + res.status;
      const said = typeof detail === 'string' ? detail.trim().slice(0, 300) : '';
      return new Failure(said === '' ? about : about + ' (' + said + ')', { status: res.status });
    }

    /** Asks for STUN and TURN servers. */
    async iceServers() {
      const res = await this.#request(this.#endpoint, 'OPTIONS');
      if (res.status === 405 || res.status === 501) {
        return []; // servers need not have them
      }
      if (!res.ok) {
        throw await this.#failure(res);
      }
      return parseLinks(res.headers.get('Link'));
    }

    /** Sends the offer and returns the answer. */
    async exchange(offer) {
      const res = await this.#request(this.#endpoint, 'POST', { 'Content-Type': 'application/sdp' }, offer);
      if (res.status !== 201) {
        throw await this.#failure(res);
      }
      const location = res.headers.get('Location');
      if (location !== null) {
        this.#session = new URL(location, this.#endpoint);
      }
      this.#etag = res.headers.get('ETag');
      this.#offer = new SDP(offer);
      return res.text();
    }

    /**
     * Sends a candidate once there is a session, together with those that are
     * found at the same time. null: there are no more.
     */
    async trickle(candidate) {
      this.#queue.push(candidate);
      await this.flush();
    }

    async flush() {
      if (this.#session === null || this.#sending) {
        return;
      }
      this.#sending = true;
      try {
        while (this.#queue.length > 0 && !this.#signal.aborted) {
          await sleep(candidatePause);
          await this.#patch(this.#queue.splice(0));
        }
      } finally {
        this.#sending = false;
      }
    }

    async #patch(candidates) {
      const headers = { 'Content-Type': 'application/trickle-ice-sdpfrag' };
      if (this.#etag !== null) {
        headers['If-Match'] = this.#etag;
      }
      const res = await this.#request(this.#session, 'PATCH', headers, this.#fragment(candidates));
      if (!res.ok && res.status !== 405 && res.status !== 501) { // it need not take them
        throw await this.#failure(res);
      }
    }

    /** An SDP fragment (RFC 8840 section 9) with candidates. */
    #fragment(candidates) {
      const { media } = this.#offer;
      const lines = [
        'a=ice-ufrag:' + this.#offer.value(media[0], 'a=ice-ufrag:'),
        'a=ice-pwd:' + this.#offer.value(media[0], 'a=ice-pwd:'),
      ];
      const last = candidates.includes(null);
      media.forEach((section, i) => {
        const own = candidates.filter((c) => c !== null && (c.sdpMLineIndex ?? 0) === i);
        if (own.length > 0 || last && i === 0) { // all share the transport of the first
          lines.push(section[0], 'a=mid:' + this.#offer.value(section, 'a=mid:'), ...own.map((c) => 'a=' + c.candidate));
          if (last) {
            lines.push('a=end-of-candidates');
          }
        }
      });
      return lines.map((line) => line + '\r\n').join('');
    }

    /** Ends the session at the server. It works while the page is being closed, too. */
    end() {
      if (this.#session === null) {
        return;
      }
      const headers = this.#authorization === undefined ? {} : { Authorization: this.#authorization };
      fetch(this.#session, { method: 'DELETE', headers, keepalive: true }).catch(() => {});
      this.#session = null;
    }
  }

  /**
   * A peer connection that is made again whenever it fails. What is particular
   * to readers and to publishers is in steps:
   * - explain: see Signaling.
   * - prepare(pc) adds what is to be sent or received.
   * - offer(sdp), answer(sdp) may change descriptions.
   * - negotiated(pc) is called after the answer, connected() once media flow.
   */
  class Connection {
    #conf;
    #steps;
    #attempt = null; // AbortController of the try that is going on
    #closed = false;
    #pc = null;
    #wake = () => {};

    constructor(conf, steps) {
      this.#conf = conf;
      this.#steps = steps;
      this.#run();
    }

    get pc() {
      return this.#pc;
    }

    close() {
      this.#closed = true;
      this.#attempt?.abort();
      this.#wake();
    }

    async #run() {
      while (!this.#closed) {
        let failure;
        try {
          await this.#connect();
        } catch (err) {
          failure = err instanceof Failure ? err : new Failure(String(err.message ?? err));
        }
        if (this.#closed) {
          return;
        }
        this.#closed = failure.final;
        this.#conf.onError?.(failure.message, { status: failure.status, retryIn: failure.final ? null : failure.pause });
        await new Promise((resolve) => {
          const timer = setTimeout(resolve, failure.pause);
          this.#wake = () => { clearTimeout(timer); resolve(); };
          if (this.#closed) {
            this.#wake();
          }
        });
      }
    }

    /** Connects, and throws what ends the connection. */
    async #connect() {
      if (globalThis.RTCPeerConnection === undefined) {
        throw new Failure('this browser has no WebRTC, or it is switched off', { final: true });
      }
      const attempt = this.#attempt = new AbortController();
      const fail = (err) => { attempt.abort(err instanceof Error ? err : new Failure(err)); };
      const failed = new Promise((_, reject) => {
        attempt.signal.addEventListener('abort', () => { reject(attempt.signal.reason); });
      });
      failed.catch(() => {}); // it may come while nobody waits for it
      const late = setTimeout(() => { fail('the connection cannot be established, a firewall may be in the way'); }, connectTimeout);
      let signaling = null;
      const leave = () => { signaling?.end(); };
      globalThis.addEventListener('pagehide', leave);
      try {
        signaling = new Signaling(this.#conf, this.#steps.explain, attempt.signal);
        const pc = this.#pc = new RTCPeerConnection({ iceServers: await signaling.iceServers(), bundlePolicy: 'max-bundle' });
        this.#watch(pc, late, fail);
        pc.addEventListener('icecandidate', (e) => {
          if (e.candidate === null || e.candidate.candidate !== '') {
            signaling.trickle(e.candidate).catch(fail);
          }
        });
        await this.#negotiate(pc, signaling, attempt.signal, fail);
        signaling.flush().catch(fail);
        await failed;
      } catch (err) {
        throw attempt.signal.aborted ? attempt.signal.reason : err;
      } finally {
        attempt.abort();
        clearTimeout(late);
        globalThis.removeEventListener('pagehide', leave);
        this.#pc?.close();
        this.#pc = null;
        signaling?.end();
      }
    }

    async #negotiate(pc, signaling, signal, fail) {
      await this.#steps.prepare(pc);
      const offer = await pc.createOffer();
      const plain = offer.sdp;
      try {
        await pc.setLocalDescription({ type: 'offer', sdp: await this.#steps.offer(plain) });
      } catch {
        await pc.setLocalDescription({ type: 'offer', sdp: plain }); // the browser knows best
      }
      // candidates follow, they need not be in the offer
      const answer = await signaling.exchange(pc.localDescription.sdp);
      if (signal.aborted) {
        throw signal.reason;
      }
      try {
        await pc.setRemoteDescription({ type: 'answer', sdp: this.#steps.answer(answer) });
      } catch (err) {
        throw new Failure('the browser does not understand the answer of the server (' + err.message + ')');
      }
      await this.#steps.negotiated(pc);
      // all tracks share one transport, whose end is known seconds before that of the connection
      const transport = pc.getTransceivers()[0]?.sender.transport;
      transport?.addEventListener('statechange', () => {
        if (transport.state === 'closed' || transport.state === 'failed') {
          fail('the server has ended the connection');
        }
      });
    }

    /** Notices when the connection is there, and when it is lost. */
    #watch(pc, late, fail) {
      let silence;
      pc.addEventListener('connectionstatechange', () => {
        clearTimeout(silence);
        switch (pc.connectionState) {
          case 'connected':
            clearTimeout(late);
            this.#steps.connected();
            break;
          case 'disconnected':
            silence = setTimeout(() => { fail('the connection is lost'); }, silenceTimeout);
            break;
          case 'failed':
          case 'closed':
            fail('the connection failed');
            break;
        }
      });
    }
  }
