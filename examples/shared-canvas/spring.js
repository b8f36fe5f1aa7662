// A number that follows a goal as a critically damped spring does: as quickly as it can without going beyond, and never with a jerk,
// since its speed goes on when the goal changes. How stiff it is follows from how often goals come: it arrives about when the next does.

const MS_MIN = 16;
const MS_MAX = 300;

export class Spring {
  constructor(value) {
    this.goal = value;
    this.value = value;
    this.speed = 0; // Per millisecond.
    this.everyMs = 50; // Between goals, as it has been of late.
    this.aimedAt = null;
    this.now = null;
  }

  /** From `now` on it goes to `goal`. */
  aim(goal, now) {
    this.at(now);
    // A pause is no pace: who rested begins again as quickly as before.
    const pause = this.aimedAt === null ? Infinity : now - this.aimedAt;
    if (pause < MS_MAX) this.everyMs += (Math.max(MS_MIN, pause) - this.everyMs) / 4;
    this.aimedAt = now;
    this.goal = goal;
  }

  /** It is at its goal, and rests. */
  jump() {
    [this.value, this.speed] = [this.goal, 0];
  }

  /** Where it is at `now`, in milliseconds. Exact however long the last frame took: the equation is solved, not stepped. */
  at(now) {
    const passed = Math.max(0, now - (this.now ?? now));
    this.now = Math.max(now, this.now ?? now);
    const stiffness = 3 / this.everyMs;
    const away = this.value - this.goal;
    const drift = this.speed + stiffness * away;
    const left = Math.exp(-stiffness * passed);
    this.value = this.goal + (away + drift * passed) * left;
    this.speed = (this.speed - stiffness * drift * passed) * left;
    return this.value;
  }
}
