/*
 * reader.js plays a live stream in a web page, by WebRTC (WHEP).
 *
 * It needs nothing else and no build step. Load it from the server, or keep a copy of
 * what the server sends:
 *
 *   <video id="video" autoplay muted playsinline controls></video>
 *   <script src="http://SERVER:8889/PATH/reader.js"></script>
 *   <script>
 *     const reader = new MediaMTXWebRTCReader({
 *       url: 'http://SERVER:8889/PATH/whep',
 *       onTrack: (event) => { document.getElementById('video').srcObject = event.streams[0]; },
 *       onError: (text) => { console.log(text); },
 *     });
 *     // and when it is no longer needed: reader.close();
 *   </script>
 */
globalThis.MediaMTXWebRTCReader = (() => {
  'use strict';

  // connection.js is inserted here

  /** What the server means by a status, when somebody reads. */
  const explain = {
    400: 'the server does not accept the request',
    401: 'the server asks for a user name and a password, or those given are wrong',
    403: 'reading is not allowed',
    404: 'there is no stream',
    405: 'the URL is not one of a WHEP server',
    406: 'the browser cannot play the codecs of the stream',
    429: 'the server has too many viewers or requests',
    503: 'the server has no room for another viewer',
  };

  /**
   * Codecs that browsers can decode and do not offer by themselves: surround
   * sound with the channel order of Vorbis, and sound that is not compressed.
   */
  const hiddenCodecs = [
    { codec: 'multiopus/48000/3', fmtp: 'channel_mapping=0,2,1;num_streams=2;coupled_streams=1' },
    { codec: 'multiopus/48000/4', fmtp: 'channel_mapping=0,1,2,3;num_streams=2;coupled_streams=2' },
    { codec: 'multiopus/48000/5', fmtp: 'channel_mapping=0,4,1,2,3;num_streams=3;coupled_streams=2' },
    { codec: 'multiopus/48000/6', fmtp: 'channel_mapping=0,4,1,2,3,5;num_streams=4;coupled_streams=2' },
    { codec: 'multiopus/48000/7', fmtp: 'channel_mapping=0,4,1,2,3,5,6;num_streams=4;coupled_streams=3' },
    { codec: 'multiopus/48000/8', fmtp: 'channel_mapping=0,6,1,2,3,4,5,7;num_streams=5;coupled_streams=3' },
    { codec: 'L16/48000/2' },
    { codec: 'L16/48000' },
    { codec: 'L16/16000' },
    { codec: 'L16/8000' },
  ];

  /** Adds codecs to a section, with payload types that nobody uses yet. */
  const addCodecs = (sdp, section, codecs) => {
    const used = new Set(sdp.media.flat().map((line) => /^a=rtpmap:(\d+) /.exec(line)?.[1]));
    const free = [...Array(32).keys()].map((i) => String(i + 96)) // dynamic ones (RFC 3551), then those that are not assigned
      .concat([...Array(29).keys()].map((i) => String(i + 35))).filter((pt) => !used.has(pt));
    for (const { codec, fmtp } of codecs) {
      const payloadType = free.shift();
      if (payloadType === undefined) {
        return;
      }
      section[0] += ' ' + payloadType;
      section.push('a=rtpmap:' + payloadType + ' ' + codec);
      if (fmtp !== undefined) {
        section.push('a=fmtp:' + payloadType + ' ' + fmtp);
      }
    }
  };

  /** Whether the browser takes codecs into an offer to receive them. */
  const canReceive = async (codecs) => {
    const pc = new RTCPeerConnection();
    try {
      pc.addTransceiver('audio', { direction: 'recvonly' });
      const sdp = new SDP((await pc.createOffer()).sdp);
      addCodecs(sdp, sdp.media[0], codecs);
      await pc.setLocalDescription({ type: 'offer', sdp: String(sdp) });
      const kept = new SDP(pc.localDescription.sdp);
      return codecs.every(({ codec }) => kept.payloadTypes(kept.media[0], codec).length > 0);
    } catch {
      return false;
    } finally {
      pc.close();
    }
  };

  /** Finds out which hidden codecs the browser knows: all of them at once, or by halves. */
  const findHiddenCodecs = async (codecs) => {
    if (await canReceive(codecs)) {
      return codecs;
    }
    const half = codecs.length >> 1;
    return half === 0 ? [] : [...await findHiddenCodecs(codecs.slice(0, half)), ...await findHiddenCodecs(codecs.slice(half))];
  };

  /**
   * Plays a stream. It connects at once, and again whenever the connection fails
   * or there is no stream yet, until it is closed.
   */
  class MediaMTXWebRTCReader {
    #connection;
    #hidden = null; // promise of the codecs that are not offered by default

    /**
     * @param {object} conf
     * @param {string} conf.url - URL of the WHEP endpoint: http://SERVER:8889/PATH/whep. It may be relative to the page.
     * @param {string} [conf.user] - user name.
     * @param {string} [conf.pass] - password.
     * @param {string} [conf.token] - bearer token, such as a JWT, in place of user and pass.
     * @param {number} [conf.videoTracks] - how many video tracks are wanted at most, 1 by default.
     * @param {number} [conf.audioTracks] - how many audio tracks are wanted at most, 1 by default.
     * @param {(event: RTCTrackEvent) => void} [conf.onTrack] - is given each track, again after each reconnection.
     * @param {(event: RTCDataChannelEvent) => void} [conf.onDataChannel] - is given data channels, which carry KLV
     *   metadata. Without it they are not asked for.
     * @param {() => void} [conf.onConnected] - is called whenever a connection is there.
     * @param {(text: string, info: {status: number, retryIn: ?number}) => void} [conf.onError] - is told what went
     *   wrong, in words for the user; the status of the answer of the server, or 0; and in how many milliseconds there
     *   will be another try, or null if there will be none.
     */
    constructor(conf) {
      this.#connection = new Connection(conf, {
        explain,
        prepare: (pc) => {
          for (let i = 0; i < (conf.videoTracks ?? 1); i++) {
            pc.addTransceiver('video', { direction: 'recvonly' });
          }
          for (let i = 0; i < (conf.audioTracks ?? 1); i++) {
            pc.addTransceiver('audio', { direction: 'recvonly' });
          }
          if (conf.onTrack !== undefined) {
            pc.addEventListener('track', (event) => { conf.onTrack(event); });
          }
          if (conf.onDataChannel !== undefined) {
            pc.createDataChannel(''); // otherwise the offer has no place for them
            pc.addEventListener('datachannel', (event) => { conf.onDataChannel(event); });
          }
        },
        offer: (sdp) => this.#edit(sdp),
        answer: (sdp) => sdp,
        negotiated: () => {},
        connected: () => { conf.onConnected?.(); },
      });
    }

    /** Asks for stereo, for lost packets of sound, and for all codecs that can be decoded. */
    async #edit(text) {
      this.#hidden ??= findHiddenCodecs(hiddenCodecs);
      const hidden = await this.#hidden;
      const sdp = new SDP(text);
      for (const section of sdp.ofKind('audio')) {
        for (const payloadType of sdp.payloadTypes(section, 'opus/48000/2')) {
          sdp.setParameters(section, payloadType, { stereo: 1 });
          sdp.addNack(section, payloadType);
        }
        addCodecs(sdp, section, hidden);
      }
      return String(sdp);
    }

    /** Ends the session, for good. */
    close() {
      this.#connection.close();
    }

    /**
     * Statistics of the connection.
     * @returns {Promise<?RTCStatsReport>} null while there is no connection.
     */
    async stats() {
      return this.#connection.pc?.getStats() ?? null;
    }
  }

  return MediaMTXWebRTCReader;
})();
