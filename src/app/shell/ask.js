// Runs before anything is drawn. Copies the session from another tab of this browser, if there is one, and then hides the
// logged-out page. `asked` settles once this is known, or after 100 ms. A later response counts until `stopAsking`.
var stopAsking = () => {};
var asked = new Promise((resolve) => {
  const hide = () => (document.documentElement.dataset.session = "stored");
  try {
    if (sessionStorage.getItem(key)) return resolve(hide());
    const channel = new BroadcastChannel(key);
    stopAsking = () => channel.close();
    channel.onmessage = ({ data }) => {
      if (data[0] !== "have") return;
      sessionStorage.setItem(key, JSON.stringify(data[1]));
      resolve(hide());
    };
    channel.postMessage(["ask"]);
    setTimeout(resolve, 100);
  } catch {
    resolve();
  }
});
