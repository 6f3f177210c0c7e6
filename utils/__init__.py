"""Pure computing: metrics, masks, media, phrases, drawing and reports."""
