package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/projection/internal/fresh"
)

// Headers of answers; openapi.yaml says what they mean.
const (
	headerLag     = "X-Projection-Lag"
	headerStale   = "X-Projection-Stale"
	headerVersion = "Order-Version"
)

const allowStale = "allow"

// token is what a client has written: the version of an order's event. The zero value asks for
// nothing.
type token struct {
	orderID string
	version int64
}

// tokenOf reads the token of a list, ORDER:VERSION.
func tokenOf(minVersion *string) (token, error) {
	if minVersion == nil {
		return token{}, nil
	}
	id, number, _ := strings.Cut(*minVersion, ":")
	order, err := uuid.Parse(id)
	version, tooLarge := strconv.ParseInt(number, 10, 64)
	if errors.Join(err, tooLarge) != nil {
		return token{}, badParameter("minVersion", "must be the id of an order, a colon and a version")
	}
	return token{order.String(), version}, nil
}

// await waits for what the token asks for. The error is the answer when the view is not fresh and
// the client refuses a stale one.
func (a *API) await(ctx context.Context, t token, stale *string) (fresh.View, error) {
	if t.version == 0 {
		if stale != nil {
			return fresh.View{}, badParameter("stale", "has a meaning only with minVersion")
		}
		return fresh.View{}, nil
	}
	view, err := a.waiting.Await(ctx, t.orderID, t.version)
	switch {
	case errors.Is(err, fresh.ErrTooMany):
		return view, httpapi.Problem{
			Type: problem("too-many-waiting-reads"), Title: "Too many reads are waiting",
			Status: http.StatusServiceUnavailable, Detail: "try again, or ask without minVersion",
		}
	case err != nil || view.Stale == "" || value(stale) == allowStale:
		return view, err
	}
	return view, httpapi.Problem{
		Type: problem("read-model-" + string(view.Stale)), Title: "The read model does not have the version yet",
		Status: http.StatusServiceUnavailable,
		Detail: fmt.Sprintf("order %s is at version %d here, and %d was asked for: %s", t.orderID, view.Version, t.version, because(view.Stale)),
	}
}

func because(why fresh.Reason) string {
	switch why {
	case fresh.Parked:
		return "an event of the order failed and has to be handled first"
	case fresh.Stopping:
		return "this process is stopping"
	}
	return "it did not come in time"
}

// mark sets the headers about the freshness of a view that a token asked for.
func mark(h http.Header, t token, view fresh.View) {
	if t.version == 0 {
		return
	}
	h.Set(headerVersion, strconv.FormatInt(view.Version, 10))
	if view.Stale != "" {
		h.Set(headerStale, string(view.Stale))
	}
}

// withLag sets the header of the lag on every answer of an operation, once the lag is known.
func withLag(lag *fresh.Lag) MiddlewareFunc {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if longest, known := lag.Longest(); known {
				w.Header().Set(headerLag, strconv.FormatInt(longest.Milliseconds(), 10))
			}
			next.ServeHTTP(w, r)
		})
	}
}

func badParameter(name, detail string) error {
	return httpapi.WithStatus(http.StatusBadRequest, errs.Field(name, "%s", detail))
}

func problem(name string) string { return "https://eventshop.example/problems/" + name }
