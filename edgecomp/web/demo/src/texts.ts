// What the page says, in each language; {names} are filled in.

export const TEXTS = {
  en: {
    title: "Listening check",
    language: "Language",
    checking: "Checking this device",
    checkingHint: "The model replays known recordings. Nothing is recorded.",
    clipOf: "{done} of {of} recordings",
    blocked: "This device cannot be used",
    again: "Try again",
    home: "Ready to record",
    homeHint: "Hold the device near the person and away from other sounds. {seconds} seconds are recorded.",
    knows: "It tells apart: {labels}.",
    record: "Record",
    openFile: "Use a WAV file",
    form: "Questions about the person",
    formNote: "The answers are kept with the result on this device. The model hears only the sound: no answer changes what it says.",
    begin: "Start",
    questionsFirst: "Questions about the person come first: {count}.",
    toRecording: "Record",
    toModel: "Ask the model",
    back: "Back",
    yes: "Yes",
    no: "No",
    noAnswer: "No answer",
    optional: "may be left out",
    faultMissing: "Please answer this question.",
    faultNumber: "Give a number in digits.",
    faultRange: "Give a number from {min} to {max}.",
    faultWhole: "Give a whole number.",
    faultDecimals: "Give at most this many digits after the point: {count}.",
    faults: "Questions that need an answer: {count}.",
    given: "Answers about the person",
    givenNote: "The answers about the person had no part in this result.",
    recordSame: "Same person again",
    nextPerson: "Next person",
    recording: "Recording",
    secondsLeft: "seconds left",
    level: "Loudness",
    tooQuiet: "Too quiet: come closer",
    good: "Good",
    tooLoud: "Too loud: move away",
    stop: "Stop",
    thinking: "Asking the model…",
    answer: "Answer",
    ask: "Ask",
    probability: "{percent} % sure by its own estimate",
    askUnsure: "The model is not sure of this recording. Do not rely on it: leave it to a clinician or to the large model.",
    askAlways: "This model leaves every recording to a person. Ask a clinician or the large model.",
    askBroken: "The model gave no usable figures. Ask a clinician or the large model.",
    guess: "Its own guess, not to be relied on: {label} ({percent} %)",
    quietWarning: "The recording was very quiet. Record again, closer.",
    lost: "{count} samples were lost while recording. Record again.",
    notLost: "No sample was lost.",
    figures: "All figures",
    uncertainty: "Uncertainty {value}; it asks above {limit}",
    uncertaintyAlways: "Uncertainty {value}; it always asks",
    recordAgain: "Record again",
    history: "History",
    historyEmpty: "Nothing was asked yet.",
    historyHint: "Kept on this device only. The sound itself is never kept.",
    forget: "Delete history",
    forgetSure: "Delete all? Press again",
    selfTest: "Self-test passed: largest difference {worst}, allowed {tolerance} ({clips} recordings).",
    selfTestFailed: "The self-test failed: this device's answers differ by {worst}, and {tolerance} is allowed. Do not use it here.",
    selfTestAgain: "Run the self-test again",
    threads: "{count} threads",
    thread: "1 thread",
    version: "Model {name}, version {version}",
    private: "Nothing leaves this device.",
    noPermission: "The microphone is not allowed. Allow it in the browser's settings for this page, then record again.",
    noMicrophone: "No microphone can be used ({detail}).",
    noSecureContext: "The microphone works only by HTTPS or on localhost, and this page came from {detail}.",
    update: "A new version is ready.",
    useUpdate: "Use it",
    offline: "Ready to be used without a network.",
  },
  hi: {
    title: "ध्वनि जाँच",
    language: "भाषा",
    checking: "इस उपकरण की जाँच हो रही है",
    checkingHint: "मॉडल पहले से ज्ञात रिकॉर्डिंग दोहरा रहा है। अभी कुछ रिकॉर्ड नहीं हो रहा।",
    clipOf: "{of} में से {done} रिकॉर्डिंग",
    blocked: "इस उपकरण का उपयोग नहीं हो सकता",
    again: "फिर से कोशिश करें",
    home: "रिकॉर्ड करने के लिए तैयार",
    homeHint: "उपकरण को व्यक्ति के पास और शोर से दूर रखें। {seconds} सेकंड रिकॉर्ड होंगे।",
    knows: "यह पहचानता है: {labels}।",
    record: "रिकॉर्ड करें",
    openFile: "WAV फ़ाइल चुनें",
    form: "व्यक्ति के बारे में प्रश्न",
    formNote: "उत्तर परिणाम के साथ इसी उपकरण पर रखे जाते हैं। मॉडल केवल ध्वनि सुनता है: कोई उत्तर उसका परिणाम नहीं बदलता।",
    begin: "शुरू करें",
    questionsFirst: "पहले व्यक्ति के बारे में प्रश्न आएँगे: {count}।",
    toRecording: "रिकॉर्ड करें",
    toModel: "मॉडल से पूछें",
    back: "वापस",
    yes: "हाँ",
    no: "नहीं",
    noAnswer: "कोई उत्तर नहीं",
    optional: "छोड़ा जा सकता है",
    faultMissing: "कृपया इस प्रश्न का उत्तर दें।",
    faultNumber: "अंकों में संख्या लिखें।",
    faultRange: "{min} से {max} तक की संख्या लिखें।",
    faultWhole: "पूर्ण संख्या लिखें।",
    faultDecimals: "दशमलव के बाद अधिक से अधिक इतने अंक लिखें: {count}।",
    faults: "इतने प्रश्नों के उत्तर चाहिए: {count}।",
    given: "व्यक्ति के बारे में उत्तर",
    givenNote: "व्यक्ति के बारे में दिए गए उत्तरों का इस परिणाम में कोई योगदान नहीं है।",
    recordSame: "इसी व्यक्ति को फिर से",
    nextPerson: "अगला व्यक्ति",
    recording: "रिकॉर्ड हो रहा है",
    secondsLeft: "सेकंड शेष",
    level: "आवाज़ का स्तर",
    tooQuiet: "बहुत धीमा: पास आएँ",
    good: "ठीक है",
    tooLoud: "बहुत तेज़: दूर जाएँ",
    stop: "रोकें",
    thinking: "मॉडल से पूछा जा रहा है…",
    answer: "उत्तर",
    ask: "पूछें",
    probability: "मॉडल के अपने अनुमान से {percent} % निश्चित",
    askUnsure: "मॉडल इस रिकॉर्डिंग के बारे में निश्चित नहीं है। इस पर भरोसा न करें: चिकित्सक या बड़े मॉडल से पूछें।",
    askAlways: "यह मॉडल हर रिकॉर्डिंग किसी व्यक्ति पर छोड़ता है। चिकित्सक या बड़े मॉडल से पूछें।",
    askBroken: "मॉडल ने उपयोगी आँकड़े नहीं दिए। चिकित्सक या बड़े मॉडल से पूछें।",
    guess: "मॉडल का अपना अनुमान, भरोसे के लिए नहीं: {label} ({percent} %)",
    quietWarning: "रिकॉर्डिंग बहुत धीमी थी। पास से फिर रिकॉर्ड करें।",
    lost: "रिकॉर्डिंग में {count} नमूने खो गए। फिर से रिकॉर्ड करें।",
    notLost: "कोई नमूना नहीं खोया।",
    figures: "सभी आँकड़े",
    uncertainty: "अनिश्चितता {value}; {limit} से ऊपर मॉडल पूछने को कहता है",
    uncertaintyAlways: "अनिश्चितता {value}; मॉडल हमेशा पूछने को कहता है",
    recordAgain: "फिर से रिकॉर्ड करें",
    history: "इतिहास",
    historyEmpty: "अभी तक कुछ नहीं पूछा गया।",
    historyHint: "केवल इस उपकरण पर रखा जाता है। ध्वनि कभी नहीं रखी जाती।",
    forget: "इतिहास मिटाएँ",
    forgetSure: "सब मिटाएँ? फिर से दबाएँ",
    selfTest: "स्व-परीक्षण सफल: सबसे बड़ा अंतर {worst}, अनुमत {tolerance} ({clips} रिकॉर्डिंग)।",
    selfTestFailed: "स्व-परीक्षण विफल: इस उपकरण के उत्तर {worst} से भिन्न हैं, अनुमत {tolerance} है। यहाँ उपयोग न करें।",
    selfTestAgain: "स्व-परीक्षण फिर चलाएँ",
    threads: "{count} थ्रेड",
    thread: "1 थ्रेड",
    version: "मॉडल {name}, संस्करण {version}",
    private: "इस उपकरण से कुछ भी बाहर नहीं जाता।",
    noPermission: "माइक्रोफ़ोन की अनुमति नहीं है। ब्राउज़र की सेटिंग में इस पृष्ठ के लिए अनुमति दें, फिर रिकॉर्ड करें।",
    noMicrophone: "कोई माइक्रोफ़ोन उपयोग नहीं हो सकता ({detail})।",
    noSecureContext: "माइक्रोफ़ोन केवल HTTPS या localhost पर चलता है, और यह पृष्ठ {detail} से आया है।",
    update: "नया संस्करण तैयार है।",
    useUpdate: "उपयोग करें",
    offline: "बिना नेटवर्क के उपयोग के लिए तैयार।",
  },
} as const;

export type Language = keyof typeof TEXTS;
export type Key = keyof (typeof TEXTS)["en"];

const KEY = "edgecomp.language";
let current: Language = chosen();

export function language(): Language {
  return current;
}

/** Use a language, and remember it. */
export function speak(next: Language): void {
  current = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    return; // a private window: it holds for this visit
  }
}

/** Return a text with its {names} filled in. */
export function text(key: Key, values: Readonly<Record<string, string | number>> = {}): string {
  return TEXTS[current][key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

function chosen(): Language {
  let kept: string | null = null;
  try {
    kept = localStorage.getItem(KEY);
  } catch {
    kept = null;
  }
  const wished = [kept, ...navigator.languages].map((one) => one?.split("-")[0]);
  return (wished.find((one) => one !== undefined && one in TEXTS) as Language | undefined) ?? "en";
}
