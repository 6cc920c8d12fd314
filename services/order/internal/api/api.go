// Package api is the HTTP edge of the order service. It decodes a request, calls the use case and
// encodes the answer. openapi.yaml defines the valid requests, and httpapi.Validator enforces it
// before a handler runs. The handlers check only the amounts, which a schema cannot check.
//
// The kind of an error selects its problem document (httpapi.WriteError). Bad input never causes a
// 5xx and never writes anything.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/order"
)

// defaultLimit is the number of sagas per page that openapi.yaml documents.
const defaultLimit = 50

// defaultEvents is the number of events per page that openapi.yaml documents.
const defaultEvents = 200

// headerVersion is the header with the version of the order's last published event. With the
// order's id it is the token for reading one's own writes (docs/cqrs.md). The version in the body
// can be higher, because it counts private events too.
const headerVersion = "Order-Version"

// API implements the generated ServerInterface.
type API struct {
	app  *app.App
	pool *pgxpool.Pool
	wake func() // after a commit that may have left rows in the outbox
}

// PlaceOrder handles POST /orders.
func (a *API) PlaceOrder(w http.ResponseWriter, r *http.Request, _ PlaceOrderParams) {
	body, err := httpapi.Decode[PlaceOrder](r)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	if body.Draft != nil && *body.Draft {
		a.startDraft(w, r, body)
		return
	}
	cmd, err := command(body)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.Idempotent(w, r, a.pool, "POST /orders", func(ctx context.Context, tx pgx.Tx) (httpapi.Answer, error) {
		o, committed, err := a.app.PlaceOrder(ctx, tx, cmd)
		if err != nil {
			return httpapi.Answer{}, refusal(err)
		}
		w.Header().Set("Location", "/orders/"+o.ID)
		w.Header().Set(headerVersion, strconv.FormatInt(o.Version, 10)) // of OrderCreated, which has the items
		return httpapi.Answer{Status: http.StatusCreated, Body: view(o), Committed: committed}, nil
	}, a.amend)
	a.wake()
}

// refusal returns the problem document of an error that says more than its kind.
func refusal(err error) error {
	if errors.Is(err, app.ErrOverloaded) {
		return httpapi.Problem{Type: problems + "overloaded", Title: "Too many orders are waiting",
			Status: http.StatusServiceUnavailable, Detail: "the order was not accepted; try again"}
	}
	if closed, ok := errors.AsType[*app.NotReadyError](err); ok {
		return httpapi.Problem{Type: problems + "not-orchestrated", Title: "Orders cannot be orchestrated now",
			Status: http.StatusConflict, Detail: closed.Reason}
	}
	if broken, ok := errors.AsType[*order.RuleError](err); ok {
		return httpapi.Problem{Type: problems + "rule", Title: "The draft does not allow it", Status: http.StatusConflict,
			Detail: broken.Detail, Members: map[string]any{"rule": broken.Rule}}
	}
	if other, ok := errors.AsType[*app.VersionError](err); ok {
		return httpapi.Problem{Type: problems + "version", Title: "The order is at another version", Status: http.StatusPreconditionFailed,
			Detail: err.Error(), Members: map[string]any{"currentVersion": other.Current}, Header: http.Header{"Etag": {etag(other.Current)}}}
	}
	return err
}

// problems begins the types of the problem documents that this service defines.
const problems = "https://eventshop.example/problems/"

// CancelOrder handles POST /orders/{orderId}/cancel.
func (a *API) CancelOrder(w http.ResponseWriter, r *http.Request, id uuid.UUID, _ CancelOrderParams) {
	why := ""
	if r.ContentLength != 0 {
		body, err := httpapi.Decode[CancelOrder](r)
		if err != nil {
			httpapi.WriteError(w, r, err)
			return
		}
		if body.Reason != nil {
			why = *body.Reason
		}
	}
	httpapi.Idempotent(w, r, a.pool, "POST /orders/"+id.String()+"/cancel", func(ctx context.Context, tx pgx.Tx) (httpapi.Answer, error) {
		o, published, committed, err := a.app.CancelOrder(ctx, tx, id.String(), why)
		if err != nil {
			return httpapi.Answer{}, err
		}
		w.Header().Set(headerVersion, strconv.FormatInt(published, 10))
		status := http.StatusAccepted // shipping decides; the order shows the result later
		if o.State == order.Cancelled {
			status = http.StatusOK
		}
		return httpapi.Answer{Status: status, Body: view(o), Committed: committed}, nil
	}, a.amend)
	a.wake()
}

// amend sets the version header of an answer that an earlier release stored without it.
func (a *API) amend(ctx context.Context, tx pgx.Tx, header http.Header, body []byte) error {
	if header.Get(headerVersion) != "" {
		return nil
	}
	var o Order
	if err := json.Unmarshal(body, &o); err != nil {
		return errs.Wrap(errs.Internal, err, "read the stored answer")
	}
	published, err := a.app.PublishedVersion(ctx, tx, o.OrderId.String(), o.Version)
	if err != nil {
		return err
	}
	header.Set(headerVersion, strconv.FormatInt(published, 10))
	return nil
}

// GetOrder handles GET /orders/{orderId}.
func (a *API) GetOrder(w http.ResponseWriter, r *http.Request, id uuid.UUID, params GetOrderParams) {
	var o order.Order
	var err error
	switch {
	case params.Version != nil && params.AsOf != nil:
		err = httpapi.WithStatus(http.StatusBadRequest, errs.Field("asOf", "cannot be used together with version"))
	case params.Version != nil:
		o, err = a.app.GetOrderAt(r.Context(), id.String(), *params.Version)
	case params.AsOf != nil:
		o, err = a.app.GetOrderAsOf(r.Context(), id.String(), *params.AsOf)
	default:
		o, err = a.app.GetOrder(r.Context(), id.String())
	}
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	if params.Version == nil {
		w.Header().Set("ETag", etag(o.Version))
	}
	httpapi.WriteJSON(w, http.StatusOK, view(o))
}

// GetOrderEvents handles GET /orders/{orderId}/events.
func (a *API) GetOrderEvents(w http.ResponseWriter, r *http.Request, id uuid.UUID, params GetOrderEventsParams) {
	after, limit := int64(0), defaultEvents
	if params.After != nil {
		after = *params.After
	}
	if params.Limit != nil {
		limit = int(*params.Limit)
	}
	page, err := a.app.GetOrderEvents(r.Context(), id.String(), after, limit)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	history, err := historyOf(id, page)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, history)
}

// DiffOrder handles GET /orders/{orderId}/diff.
func (a *API) DiffOrder(w http.ResponseWriter, r *http.Request, id uuid.UUID, params DiffOrderParams) {
	from, err := a.app.GetOrderAt(r.Context(), id.String(), params.From)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	to, err := a.app.GetOrderAt(r.Context(), id.String(), params.To)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	changes, err := diffOf(from, to)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, OrderDiff{OrderId: id, From: from.Version, To: to.Version, Changes: changes})
}

// ListSagas handles GET /sagas.
func (a *API) ListSagas(w http.ResponseWriter, r *http.Request, p ListSagasParams) {
	f := app.SagaFilter{PlacedBefore: p.PlacedBefore, Limit: defaultLimit}
	if p.NeedsAttention != nil {
		f.NeedsAttention = *p.NeedsAttention
	}
	if p.Cursor != nil {
		f.After = *p.Cursor
	}
	if p.Limit != nil {
		f.Limit = *p.Limit
	}
	limit := int(f.Limit)
	f.Limit++ // one more row than requested shows whether there is a next page
	rows, err := a.app.Sagas(r.Context(), f)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, sagaPage(rows, limit))
}

// command converts the request body. Its error names each missing field, or each invalid amount.
func command(body PlaceOrder) (app.PlaceOrder, error) {
	var missing []error
	for field, there := range map[string]bool{
		"shippingAddress": body.ShippingAddress != nil, "items": body.Items != nil, "totalAmount": body.TotalAmount != nil,
	} {
		if !there {
			missing = append(missing, errs.Field(field, "is required"))
		}
	}
	if len(missing) > 0 {
		return app.PlaceOrder{}, errors.Join(missing...)
	}
	cmd := app.PlaceOrder{
		Customer:        customer(body.Customer),
		ShippingAddress: address(*body.ShippingAddress),
		Currency:        body.Currency,
		Style:           style(body.Saga),
		ConfirmWithin:   seconds(body.ConfirmWithinSeconds),
	}
	if body.Channel != nil {
		cmd.Channel = order.Channel(*body.Channel)
	}
	amounts := newAmounts(body.Currency)
	cmd.TotalAmount = amounts.parse("totalAmount", *body.TotalAmount)
	cmd.Items = amounts.items(*body.Items)
	return cmd, amounts.err()
}

// style returns the style that a request asks for; "" when it asks for none.
func style(s *SagaStyle) order.Style {
	if s == nil {
		return ""
	}
	return order.Style(*s)
}

func customer(c Customer) order.Customer {
	return order.Customer{ID: c.Id, Name: c.Name, Email: c.Email}
}

// seconds returns a duration; 0 when there is none.
func seconds(n *int32) time.Duration {
	if n == nil {
		return 0
	}
	return time.Duration(*n) * time.Second
}

func address(a Address) order.Address {
	out := order.Address{Street: a.Street, City: a.City, PostalCode: a.PostalCode}
	if a.Country != nil {
		out.Country = *a.Country
	}
	return out
}
