// Package api is the HTTP edge of the shipping service. It decodes a request, calls the use case
// and encodes the answer. openapi.yaml defines the valid requests, and httpapi.Validator enforces
// it before a handler runs. The API only reads. Events and the carrier's tracking feed change a
// shipment.
//
// The kind of an error selects its problem document (httpapi.WriteError). Bad input never causes a
// 5xx.
package api

import (
	"net/http"

	"github.com/google/uuid"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/shipping/internal/app"
)

// API implements the generated ServerInterface.
type API struct {
	app *app.App
}

// GetShipment handles GET /shipments/{orderId}.
func (a *API) GetShipment(w http.ResponseWriter, r *http.Request, id uuid.UUID) {
	s, err := a.app.Shipment(r.Context(), id.String())
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, view(id, s))
}

func view(id uuid.UUID, s app.Shipment) Shipment {
	v := Shipment{
		OrderId: id, Status: string(s.State), Saga: string(s.Saga), Version: s.Version,
		Carrier: present(s.Carrier), ShipmentId: present(s.ShipmentID), TrackingId: present(s.TrackingID),
		Reason: present(s.Reason), Detail: present(s.Detail),
		NeedsAttention: s.Attention != "", Attention: present(s.Attention),
		DispatchedAt: s.DispatchedAt, DeliveredAt: s.DeliveredAt,
		CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
	}
	if s.Address != nil {
		v.ShippingAddress = &Address{
			Street: s.Address.Street, City: s.Address.City, PostalCode: s.Address.PostalCode, Country: s.Address.Country,
		}
		items := make([]Item, len(s.Items))
		for i, it := range s.Items {
			items[i] = Item{Sku: it.SKU, Quantity: it.Quantity}
		}
		v.Items = &items
	}
	return v
}

// present returns nil for an empty text, so that the answer omits it.
func present(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
