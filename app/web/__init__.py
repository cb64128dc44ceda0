"""The web page: `views` makes HTML of a session, `actions` what happens on a click, `page` lays it
out in Gradio, `serve` listens.  Prompts are data: every text of a person is escaped in `views`."""
