package schema

import (
	"context"
	"time"

	"eventshop.example/pkg/errs"
)

// dispatch starts as many requests as may run at once. The caller has locked mu.
func (l *lookups) dispatch(now time.Time) {
	limit := maxInFlight
	if l.failing != nil {
		limit = 1
		if now.Before(l.probeAt) {
			limit = 0
		}
	}
	for len(l.queue) > 0 && len(l.asking) < limit {
		id := l.queue[0]
		l.queue = l.queue[1:]
		u := l.unknown[id]
		u.queued, u.asked = false, now
		l.asking[u] = struct{}{}
		go l.ask(id, u, now)
	}
}

// ask asks the registry for one id and stores the answer. When a denial would be believed, the
// control runs before and after the request. Otherwise a registry that was wrong during the
// request, and right again at the control, would be believed.
func (l *lookups) ask(id int, u *unknown, began time.Time) {
	believe, failing := l.believes(u, began)
	if believe {
		if wrong := l.verify(began.Add(-controlAge), true); wrong != nil {
			l.answered(id, u, wrong, false, false)
			return
		}
	}
	asked := time.Now()
	text, err := l.client.Schema(context.Background(), id) // bounded by the client's timeout
	if err == nil {
		// A different registry behind the URL may have the id for a different schema.
		if err = l.verify(asked.Add(-verdictAge), false); err == nil {
			err = l.learn(id, text)
		}
	}
	kind := errs.KindOf(err)
	denied := err != nil && (kind == errs.NotFound || kind == errs.Invalid)
	if denied && (believe || failing) { // a registry that recovers from a failure may not have its schemas yet
		if wrong := l.verify(asked.Add(-controlAge), true); wrong != nil {
			err, denied = wrong, false
		}
	}
	l.answered(id, u, err, denied, denied && believe)
}

// believes reports whether a denial of a request sent now is believed, and whether the registry
// failed before it.
func (l *lookups) believes(u *unknown, now time.Time) (believe, failing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return u.verdict || !u.denied.IsZero() && !now.Before(l.believedAt(u, now)), l.failing != nil
}

// believedAt returns when the denial of an id will have lasted long enough.
func (l *lookups) believedAt(u *unknown, now time.Time) time.Time {
	since := u.denied
	if l.steady.After(since) {
		since = l.steady
	}
	if l.inEpisode(now) {
		return since.Add(l.grace / episodePart)
	}
	return since.Add(l.grace)
}

// inEpisode reports whether an id recently waited for the whole grace period in vain. An episode
// ends a grace period after its last verdict, and after longestEpisode grace periods in any case.
func (l *lookups) inEpisode(now time.Time) bool {
	return !l.episode.IsZero() && now.Sub(l.lastEnd) < l.grace && now.Sub(l.episode) < longestEpisode*l.grace
}

// answered stores the result of a request. err is nil when the schema was cached. Otherwise the
// registry has denied the id, which is believed or not yet, or it has failed.
func (l *lookups) answered(id int, u *unknown, err error, denied, believe bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	delete(l.asking, u)
	u.asked = time.Time{}
	u.tries++
	wasFailing := l.failing != nil
	switch {
	case err == nil:
		delete(l.unknown, id)
		l.recovered(now)
	case denied:
		l.recovered(now)
		u.why, u.failure = err, nil
		if u.denied.IsZero() {
			u.denied, u.tries = now, 1
		}
		if believe {
			if !l.inEpisode(now) && !u.verdict {
				l.episode = now
			}
			if !u.verdict {
				l.lastEnd = now
				l.metrics.denied.Inc()
			}
			u.verdict, u.judged, u.next = true, now, now
			break
		}
		// Many ids share the load on the registry: 50 requests per second.
		pause := max(doubled(askAgainMin, askAgainMax, u.tries), time.Duration(len(l.unknown))*20*time.Millisecond)
		u.next = now.Add(pause)
		if end := l.believedAt(u, now); end.Before(u.next) {
			u.next = end
		}
	default:
		l.metrics.failures.Inc()
		if l.failing == nil {
			l.brokeAt = now
		}
		l.failed++
		l.failing, l.probeAt = err, now.Add(doubled(probeMin, probeMax, l.failed))
		l.episode = time.Time{} // earlier answers do not predict later ones
		u.failure, u.denied = err, time.Time{}
		u.next = l.probeAt
	}
	l.dispatch(now)
	close(u.answer)
	if err == nil || believe || wasFailing != (l.failing != nil) { // another denial changes nothing
		close(l.news)
		l.news = make(chan struct{})
	}
}

// recovered records that the registry has answered. The caller has locked mu.
func (l *lookups) recovered(now time.Time) {
	if l.failing != nil && now.Sub(l.brokeAt) > slow {
		l.steady = now
	}
	l.failing, l.failed = nil, 0
}
