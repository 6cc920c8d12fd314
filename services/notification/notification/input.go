package notification

// Input is something the mail about an order reacts to.
type Input string

// Events of the order service. [Style] decides which input an event is.
const (
	OrderPlaced     Input = "OrderPlaced"         // in the style that reacts to it
	OrderCreated    Input = "OrderCreated"        // in the style that reacts to it
	OrderPlacedOut  Input = "OrderPlacedLeftOut"  // in the other style
	OrderCreatedOut Input = "OrderCreatedLeftOut" // in the other style
	OldOrder        Input = "OldOrder"            // either event, of an order from before the service existed
)

// OrderShown is the order service's answer to the effect AskOrder.
const OrderShown Input = "OrderShown"

// Results of an attempt to send the mail.
const (
	MailAccepted Input = "MailAccepted" // the mailbox has the mail
	MailRefused  Input = "MailRefused"  // the mailbox does not take the mail, for good
	SendFailed   Input = "SendFailed"   // the outcome is unknown; the next attempt uses the same key
)

// Inputs lists all inputs.
func Inputs() []Input {
	return []Input{
		OrderPlaced, OrderCreated, OrderPlacedOut, OrderCreatedOut, OldOrder,
		OrderShown, MailAccepted, MailRefused, SendFailed,
	}
}
