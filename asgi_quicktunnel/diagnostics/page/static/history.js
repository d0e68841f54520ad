// How many requests each second of the last 15 minutes saw, by status class. Pure but for the clock
// that is handed in.

export const CLASSES = ['1xx', '2xx', '3xx', '4xx', '5xx', 'reset'];
export const SPAN = 900; // s that are shown

/** The counts, by second of the server's clock. */
export class History {
  #seconds = new Map();
  #until = 0;
  #toldAt = 0;

  /** Take a message of type "traffic" in; `now` is milliseconds on any clock that only grows. */
  apply(traffic, now, { reset = false } = {}) {
    if (reset) this.#seconds.clear();
    const until = Math.floor(traffic.until);
    for (const [offset, ...counts] of traffic.counts) this.#seconds.set(until + offset, counts);
    this.#until = traffic.until;
    this.#toldAt = now;
    for (const second of this.#seconds.keys()) {
      if (second <= until - SPAN) this.#seconds.delete(second);
    }
  }

  /** The last 15 minutes in buckets of `width` seconds, oldest first; the last one is not over. */
  buckets(width, now) {
    // Buckets stand on multiples of their width, or their bars would trade places each second.
    const end = (Math.floor(this.#time(now) / width) + 1) * width;
    const buckets = Array.from({ length: SPAN / width }, (_, place) => ({
      begins: end - SPAN + place * width,
      counts: CLASSES.map(() => 0),
      total: 0,
    }));
    for (const [second, counts] of this.#seconds) {
      const bucket = buckets[Math.floor((second - end + SPAN) / width)];
      if (!bucket) continue;
      counts.forEach((count, place) => {
        bucket.counts[place] += count;
        bucket.total += count;
      });
    }
    return buckets;
  }

  /** Requests in the last full second. */
  rate(now) {
    const counts = this.#seconds.get(Math.floor(this.#time(now)) - 1) ?? [];
    return counts.reduce((sum, count) => sum + count, 0);
  }

  #time(now) {
    return this.#until + (now - this.#toldAt) / 1000;
  }
}
